// A pushed request and a login on a device with oauth4webapi. Result: step → answer.
import * as oauth from 'oauth4webapi'
import { open, report, settings, wait } from './talk.mjs'

const http = { [oauth.allowInsecureRequests]: true } // loopback
const issuer = new URL(settings.issuer)
const redirectUri = settings.redirect_uri
const resource = { resource: settings.resource }
const device = 'urn:ietf:params:oauth:grant-type:device_code'

async function register(as, metadata) {
  const answer = await oauth.dynamicClientRegistrationRequest(as, {
    client_name: 'A strict client',
    token_endpoint_auth_method: settings.method,
    ...metadata,
  }, http)
  return oauth.processDynamicClientRegistrationResponse(answer)
}

const authentication = (client) => settings.method === 'none'
  ? oauth.None()
  : oauth.ClientSecretBasic(client.client_secret)

async function pushed(as) {
  const client = await register(as, {
    redirect_uris: [redirectUri],
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
    require_pushed_authorization_requests: true,
  })
  const auth = authentication(client)
  const verifier = oauth.generateRandomCodeVerifier()
  const state = oauth.generateRandomState()
  const push = () => oauth.pushedAuthorizationRequest(as, client, auth, {
    response_type: 'code',
    redirect_uri: redirectUri,
    scope: settings.scope,
    state,
    ...resource,
    code_challenge: challenge,
    code_challenge_method: 'S256',
  }, http).then((answer) => oauth.processPushedAuthorizationResponse(as, client, answer))
  const challenge = await oauth.calculatePKCECodeChallenge(verifier)
  const { request_uri, expires_in } = await push()
  const url = new URL(as.authorization_endpoint)
  url.search = new URLSearchParams({ client_id: client.client_id, request_uri })
  const landed = await open(url)
  const parameters = oauth.validateAuthResponse(as, client, landed, state)
  const tokens = await oauth.processAuthorizationCodeResponse(as, client,
    await oauth.authorizationCodeGrantRequest(as, client, auth, parameters, redirectUri, verifier, {
      ...http, additionalParameters: resource,
    }))
  const refused = await oauth.pushedAuthorizationRequest(as, client, auth, {
    response_type: 'code', redirect_uri: 'https://evil.example/', ...resource,
  }, http).then((answer) => oauth.processPushedAuthorizationResponse(as, client, answer))
    .catch((error) => ({ code: error.error, status: error.status }))
  return { client, expires_in, length: url.href.length, tokens, refused }
}

async function onADevice(as) {
  const client = await register(as, {
    redirect_uris: [],
    grant_types: [device, 'refresh_token'],
    response_types: [],
  })
  const auth = authentication(client)
  const asked = await oauth.processDeviceAuthorizationResponse(as, client,
    await oauth.deviceAuthorizationRequest(as, client, auth, {
      scope: settings.scope, ...resource,
    }, http))
  const poll = () => oauth.deviceCodeGrantRequest(as, client, auth, asked.device_code, http)
    .then((answer) => oauth.processDeviceCodeResponse(as, client, answer))
  const refused = () => poll().then(
    (tokens) => ({ unexpected: tokens }),
    (error) => ({ code: error.error ?? error.code, status: error.status }),
  )
  const waiting = await refused()
  const early = await refused()
  await open(asked.verification_uri_complete)
  await wait(asked.interval + 5)
  const tokens = await poll()
  const renewed = await oauth.processRefreshTokenResponse(as, client,
    await oauth.refreshTokenGrantRequest(as, client, auth, tokens.refresh_token, http))
  return { client, asked, waiting, early, tokens, renewed }
}

await report(async () => {
  const answer = await oauth.discoveryRequest(issuer, { ...http, algorithm: 'oauth2' })
  const as = await oauth.processDiscoveryResponse(issuer, answer)
  return { as, pushed: await pushed(as), device: await onADevice(as) }
})
