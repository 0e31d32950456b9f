// node-oidc-provider to compare with: node node_oidc_provider.mjs PORT MODULES
//
// MODULES: the directory that has it in node_modules. It keeps all in memory. Everyone is logged in and has
// consented, without pages, and no other provider is asked.
// Its access tokens are JWTs under HS256, as Mintage's are here.
import { createSecretKey, randomBytes } from 'node:crypto'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

const [port, modules] = process.argv.slice(2)
const { Provider } = await import(
  pathToFileURL(createRequire(join(modules, 'node_modules/')).resolve('oidc-provider'))
)
const key = createSecretKey(randomBytes(32))
const issuer = `http://127.0.0.1:${port}`

// Its own store in memory forgets the oldest of a thousand entries.
class Memory {
  static entries = new Map()
  static grants = new Map()

  constructor(model) {
    this.model = model
  }

  async upsert(id, payload) {
    const key = `${this.model}:${id}`
    Memory.entries.set(key, payload)
    if (payload.uid) Memory.entries.set(`${this.model}:uid:${payload.uid}`, payload)
    if (payload.grantId && this.model !== 'Interaction' && this.model !== 'Session') {
      const keys = Memory.grants.get(payload.grantId)
      if (keys) keys.push(key)
      else Memory.grants.set(payload.grantId, [key])
    }
  }

  async find(id) {
    return Memory.entries.get(`${this.model}:${id}`)
  }

  async findByUid(uid) {
    return Memory.entries.get(`${this.model}:uid:${uid}`)
  }

  async consume(id) {
    Memory.entries.get(`${this.model}:${id}`).consumed = Math.floor(Date.now() / 1000)
  }

  async destroy(id) {
    Memory.entries.delete(`${this.model}:${id}`)
  }

  async revokeByGrantId(grantId) {
    for (const key of Memory.grants.get(grantId) ?? []) Memory.entries.delete(key)
    Memory.grants.delete(grantId)
  }
}

const provider = new Provider(issuer, {
  adapter: Memory,
  cookies: { keys: ['a key of this benchmark alone'] },
  features: {
    devInteractions: { enabled: false },
    registration: { enabled: true },
    revocation: { enabled: true },
    resourceIndicators: {
      enabled: true,
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({
        scope: 'tools',
        accessTokenFormat: 'jwt',
        jwt: { sign: { alg: 'HS256', key } },
      }),
    },
  },
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  interactions: { url: (_, interaction) => `${issuer}/interaction/${interaction.uid}` },
  issueRefreshToken: () => true,
  pkce: { required: () => true },
  rotateRefreshToken: true,
  routes: { authorization: '/authorize', registration: '/register', revocation: '/revoke' },
  ttl: { AccessToken: 3600, AuthorizationCode: 600, RefreshToken: 86400 },
})

provider.use(async (ctx, next) => {
  if (!ctx.path.startsWith('/interaction/')) return next()
  const { prompt, params } = await provider.interactionDetails(ctx.req, ctx.res)
  if (prompt.name === 'login') {
    return provider.interactionFinished(ctx.req, ctx.res, { login: { accountId: 'alice' } })
  }
  const grant = new provider.Grant({ accountId: 'alice', clientId: params.client_id })
  grant.addResourceScope(params.resource, 'tools')
  const grantId = await grant.save()
  await provider.interactionFinished(ctx.req, ctx.res, { consent: { grantId } }, { mergeWithLastSubmission: true })
})

provider.listen(Number(port), '127.0.0.1')
