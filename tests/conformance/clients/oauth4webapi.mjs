// A login with oauth4webapi, which refuses whatever the RFCs don't allow. Result: step → answer.
import * as oauth from 'oauth4webapi'
import { open, report, settings, wait } from './talk.mjs'

const http = { [oauth.allowInsecureRequests]: true } // loopback
const issuer = new URL(settings.issuer)
const resource = new URL(settings.resource)
const redirectUri = settings.redirect_uri
const authentication = {
  none: () => oauth.None(),
  client_secret_basic: (secret) => oauth.ClientSecretBasic(secret),
  client_secret_post: (secret) => oauth.ClientSecretPost(secret),
}

async function discover() {
  const metadata = await oauth.resourceDiscoveryRequest(resource, http)
  const server = await oauth.processResourceDiscoveryResponse(resource, metadata)
  const found = {}
  for (const algorithm of ['oauth2', 'oidc']) {
    const answer = await oauth.discoveryRequest(issuer, { ...http, algorithm })
    found[algorithm] = await oauth.processDiscoveryResponse(issuer, answer)
  }
  return { server, as: found.oauth2, oidc: found.oidc }
}

async function register(as) {
  const answer = await oauth.dynamicClientRegistrationRequest(as, {
    client_name: 'A strict client',
    redirect_uris: [redirectUri],
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
    token_endpoint_auth_method: settings.method,
  }, http)
  return oauth.processDynamicClientRegistrationResponse(answer)
}

async function authorize(as, client) {
  const verifier = oauth.generateRandomCodeVerifier()
  const state = oauth.generateRandomState()
  const url = new URL(as.authorization_endpoint)
  url.search = new URLSearchParams({
    response_type: 'code',
    client_id: client.client_id,
    redirect_uri: redirectUri,
    scope: settings.scope,
    state,
    resource: resource.href,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
  })
  const landed = await open(url)
  return { verifier, landed, parameters: oauth.validateAuthResponse(as, client, landed, state) }
}

async function introspect(as, client, auth, token) {
  const answer = await oauth.introspectionRequest(as, client, auth, token, http)
  return oauth.processIntrospectionResponse(as, client, answer)
}

async function refusal(promise) {
  try {
    return { unexpected: await promise }
  } catch (error) {
    return { code: error.error ?? error.code, status: error.status ?? error.response?.status }
  }
}

async function call(token) {
  const body = { jsonrpc: '2.0', id: 1, method: 'initialize', params: {
    protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'c', version: '1' },
  } }
  const answer = await oauth.protectedResourceRequest(token, 'POST', resource, new Headers({
    'content-type': 'application/json', accept: 'application/json, text/event-stream',
  }), JSON.stringify(body), http)
  return `${answer.status} ${await answer.text()}`
}

await report(async () => {
  const { server, as, oidc } = await discover()
  const client = await register(as)
  const auth = authentication[settings.method](client.client_secret)
  const { verifier, landed, parameters } = await authorize(as, client)
  const params = { ...http, additionalParameters: { resource: resource.href } }
  const redeem = () => oauth.authorizationCodeGrantRequest(
    as, client, auth, parameters, redirectUri, verifier, params,
  ).then((answer) => oauth.processAuthorizationCodeResponse(as, client, answer))
  const first = await redeem()
  const called = await call(first.access_token)
  await wait(settings.lifetime)
  const expired = await refusal(call(first.access_token))
  const renew = (token) => oauth.refreshTokenGrantRequest(as, client, auth, token, params)
    .then((answer) => oauth.processRefreshTokenResponse(as, client, answer))
  const second = await renew(first.refresh_token)
  const asked = introspect(as, client, auth, second.access_token)
  const introspected = await (settings.method === 'none' ? refusal(asked) : asked)
  const renewed = await call(second.access_token)
  await oauth.processRevocationResponse(
    await oauth.revocationRequest(as, client, auth, second.refresh_token, http),
  )
  return {
    server, as, oidc, client, landed: Object.fromEntries(landed.searchParams),
    first, second, called, expired, renewed, introspected,
    revoked: await refusal(call(second.access_token)),
    ended: await refusal(renew(second.refresh_token)),
    replayed: await refusal(redeem()),
  }
})
