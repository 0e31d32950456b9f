// The official TypeScript MCP client as settings.kind: it gets a token without a person, and calls.
import * as sdk from '@modelcontextprotocol/client'
import { report, settings } from './talk.mjs'

const providers = {
  secret: () => new sdk.ClientCredentialsProvider({
    clientId: settings.client_id,
    clientSecret: settings.client_secret,
    scope: 'tools',
    expectedIssuer: settings.issuer,
  }),
  key: () => new sdk.PrivateKeyJwtProvider({
    clientId: settings.client_id,
    privateKey: settings.private_key,
    algorithm: 'ES256',
    scope: 'tools',
    expectedIssuer: settings.issuer,
  }),
  enterprise: () => new sdk.CrossAppAccessProvider({
    assertion: async () => settings.assertion,
    clientId: settings.client_id,
    clientSecret: settings.client_secret,
    expectedIssuer: settings.issuer,
  }),
}

await report(async () => {
  const client = new sdk.Client({ name: 'a-client', version: '1' })
  const authProvider = providers[settings.kind]()
  const transport = new sdk.StreamableHTTPClientTransport(new URL(settings.url), { authProvider })
  await client.connect(transport)
  return (await client.callTool({ name: 'whoami', arguments: {} })).content
})
