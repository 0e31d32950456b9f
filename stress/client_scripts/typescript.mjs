// An official TypeScript client, as its documentation builds one: package, then URL of the server.
import { spawn } from 'node:child_process'
import { createServer } from 'node:http'

const [name, url] = process.argv.slice(2)
const { Client, StreamableHTTPClientTransport } = name === '@modelcontextprotocol/sdk'
  ? {
      ...(await import('@modelcontextprotocol/sdk/client/index.js')),
      ...(await import('@modelcontextprotocol/sdk/client/streamableHttp.js')),
    }
  : await import(name)

let landed
const answer = new Promise((resolve) => { landed = resolve })
const listener = createServer((request, response) => {
  response.end('You can close this page.')
  landed(new URL(request.url, 'http://127.0.0.1').searchParams)
})
await new Promise((listening) => listener.listen(0, '127.0.0.1', listening))
const callback = `http://127.0.0.1:${listener.address().port}/callback`

const seen = {}
const provider = {
  redirectUrl: callback,
  clientMetadata: { client_name: 'A client', redirect_uris: [callback] },
  clientInformation: () => seen.client,
  saveClientInformation: (client) => { seen.client = client },
  tokens: () => seen.tokens,
  saveTokens: (tokens) => { seen.tokens = tokens },
  redirectToAuthorization: (page) => { spawn('xdg-open', [page.href], { stdio: 'ignore' }) },
  saveCodeVerifier: (verifier) => { seen.verifier = verifier },
  codeVerifier: () => seen.verifier,
}

const made = () => [
  new Client({ name: 'a-client', version: '1' }),
  new StreamableHTTPClientTransport(new URL(url), { authProvider: provider }),
]
const [first, transport] = made()
const refused = await first.connect(transport).then(() => null, (error) => error)
if (refused?.constructor.name !== 'UnauthorizedError') throw refused ?? new Error('no login asked for')
const query = await answer
await transport.finishAuth(name === '@modelcontextprotocol/sdk' ? query.get('code') : query)
const [client, again] = made()
await client.connect(again)
console.log('tools:', (await client.listTools()).tools.map((tool) => tool.name).join(' '))
await client.close()
listener.close()
