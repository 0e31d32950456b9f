// The official TypeScript MCP client of package settings.package: log in, call, refresh, call.
import { open, report, settings, wait } from './talk.mjs'

const { Client, StreamableHTTPClientTransport } = settings.package === '@modelcontextprotocol/sdk'
  ? {
      ...(await import('@modelcontextprotocol/sdk/client/index.js')),
      ...(await import('@modelcontextprotocol/sdk/client/streamableHttp.js')),
    }
  : await import(settings.package)

class Provider {
  seen = { tokens: [] }
  get redirectUrl() { return settings.redirect_uri }
  get clientMetadata() {
    return {
      client_name: 'The TypeScript client',
      redirect_uris: [settings.redirect_uri],
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      token_endpoint_auth_method: settings.method,
    }
  }
  state() { return 'a-state' }
  clientInformation() { return this.seen.client }
  saveClientInformation(client) { this.seen.client = client }
  tokens() { return this.seen.tokens.at(-1) }
  saveTokens(tokens) { this.seen.tokens.push(tokens) }
  async redirectToAuthorization(url) { this.landed = await open(url) }
  saveCodeVerifier(verifier) { this.verifier = verifier }
  codeVerifier() { return this.verifier }
}

async function connected(provider) {
  const start = async () => {
    const client = new Client({ name: 'a-client', version: '1' }, settings.options)
    const transport = new StreamableHTTPClientTransport(new URL(settings.url), {
      authProvider: provider,
    })
    return { client, transport }
  }
  const first = await start()
  const failure = await first.client.connect(first.transport).then(() => null, (error) => error)
  if (failure?.constructor.name !== 'UnauthorizedError') throw failure
  const { searchParams } = provider.landed
  await first.transport.finishAuth(
    settings.package === '@modelcontextprotocol/sdk' ? searchParams.get('code') : searchParams,
  )
  const { client, transport } = await start()
  await client.connect(transport)
  return client
}

await report(async () => {
  const provider = new Provider()
  const client = await connected(provider)
  const whoami = async () => (await client.callTool({ name: 'whoami', arguments: {} })).content
  const before = await whoami()
  await wait(settings.lifetime)
  const after = await whoami()
  const version = client.getNegotiatedProtocolVersion?.()
  await client.close()
  return { before, after, version, ...provider.seen }
})
