// A real identity provider: node-oidc-provider, with back-channel logout. Anyone may log in, with any name.
//
// Its one argument is JSON: `port`, and `client`, the metadata of its one client. It prints a line once it listens.
import { generateKeyPairSync } from 'node:crypto'
import { Provider } from 'oidc-provider'

const { port, client } = JSON.parse(process.argv[2])
const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
const key = { ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'RS256', kid: 'one' }

const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [client],
  jwks: { keys: [key] },
  cookies: { keys: ['a key for the tests'] },
  claims: { openid: ['sub'], email: ['email', 'email_verified'] },
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({ sub: id, email: `${id}@example.com`, email_verified: true }),
  }),
  // Its own dispatcher refuses loopback addresses.
  fetch: (url, { dispatcher, ...options }) => fetch(url, options),
  issueRefreshToken: () => true,
  features: {
    backchannelLogout: { enabled: true },
    revocation: { enabled: true },
    introspection: { enabled: true },
  },
})

// It has no page to choose an account, and refuses to be asked for one.
provider.use((ctx, next) => {
  const { prompt, ...query } = ctx.query
  if (prompt === 'select_account') ctx.query = query
  return next()
})
for (const event of ['backchannel.success', 'backchannel.error', 'server_error']) {
  provider.on(event, (_, reason) => console.log(event, reason?.message ?? ''))
}
provider.listen(port, '127.0.0.1', () => console.log('listening'))
