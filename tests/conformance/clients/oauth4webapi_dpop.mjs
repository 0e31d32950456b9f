// Tokens that are bound to a key (RFC 9449), with oauth4webapi. Result: step → answer.
import * as oauth from 'oauth4webapi'
import { open, report, settings } from './talk.mjs'

const http = { [oauth.allowInsecureRequests]: true } // loopback
const issuer = new URL(settings.issuer)
const resource = new URL(settings.resource)
const redirectUri = settings.redirect_uri

/** Once more with the nonce of the refusal, if that was what was missing. */
async function withNonce(nonces, work) {
  try {
    return await work()
  } catch (error) {
    if (!oauth.isDPoPNonceError(error)) throw error
    nonces.push(error.error ?? error.cause?.[0]?.parameters?.error ?? 'use_dpop_nonce')
    return work()
  }
}

async function refusal(promise) {
  try {
    return { unexpected: await promise }
  } catch (error) {
    const challenge = error.cause?.[0]
    return {
      code: error.error ?? challenge?.parameters?.error, scheme: challenge?.scheme,
      status: error.status ?? error.response?.status,
    }
  }
}

async function call(token, options) {
  const answer = await oauth.protectedResourceRequest(
    token, 'GET', resource, new Headers(), null, { ...http, ...options },
  )
  return answer.status
}

await report(async () => {
  const as = await oauth.processDiscoveryResponse(
    issuer, await oauth.discoveryRequest(issuer, { ...http, algorithm: 'oauth2' }),
  )
  const client = await oauth.processDynamicClientRegistrationResponse(
    await oauth.dynamicClientRegistrationRequest(as, {
      client_name: 'A client with a key', redirect_uris: [redirectUri],
      grant_types: ['authorization_code', 'refresh_token'],
      token_endpoint_auth_method: 'none', dpop_bound_access_tokens: true,
    }, http),
  )
  const DPoP = oauth.DPoP(client, await oauth.generateKeyPair(settings.algorithm))
  const other = oauth.DPoP(client, await oauth.generateKeyPair('ES256'))
  const jkt = await DPoP.calculateThumbprint()
  const verifier = oauth.generateRandomCodeVerifier()
  const state = oauth.generateRandomState()
  const url = new URL(as.authorization_endpoint)
  url.search = new URLSearchParams({
    response_type: 'code', client_id: client.client_id, redirect_uri: redirectUri,
    scope: settings.scope, state, resource: resource.href, dpop_jkt: jkt,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256',
  })
  const parameters = oauth.validateAuthResponse(as, client, await open(url), state)
  const nonces = []
  const auth = oauth.None()
  const redeem = (options) => withNonce(nonces, async () => oauth.processAuthorizationCodeResponse(
    as, client, await oauth.authorizationCodeGrantRequest(
      as, client, auth, parameters, redirectUri, verifier, { ...http, ...options },
    ),
  ))
  const renew = (token, options) => withNonce(nonces, async () => oauth.processRefreshTokenResponse(
    as, client, await oauth.refreshTokenGrantRequest(as, client, auth, token, { ...http, ...options }),
  ))
  const keyless = await refusal(redeem({}))
  const stolen = await refusal(redeem({ DPoP: other }))
  const first = await redeem({ DPoP })
  const called = await withNonce(nonces, () => call(first.access_token, { DPoP }))
  const again = await call(first.access_token, { DPoP })
  const bearer = await refusal(call(first.access_token, {}))
  const thief = await refusal(withNonce([], () => call(first.access_token, { DPoP: other })))
  const renewal = await refusal(renew(first.refresh_token, { DPoP: other }))
  const second = await renew(first.refresh_token, { DPoP })
  const renewed = await call(second.access_token, { DPoP })
  return {
    as, client, jkt, keyless, stolen, first, called, again, bearer, thief, renewal, second, renewed,
    nonces: nonces.length,
  }
})
