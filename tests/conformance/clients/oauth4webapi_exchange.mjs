// Token exchange (RFC 8693) with oauth4webapi, as a backend that acts for a user. Result: step → answer.
import * as oauth from 'oauth4webapi'
import { report, settings } from './talk.mjs'

const http = { [oauth.allowInsecureRequests]: true } // loopback
const issuer = new URL(settings.issuer)
const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange'
const TYPE = 'urn:ietf:params:oauth:token-type:'

await report(async () => {
  const answer = await oauth.discoveryRequest(issuer, { ...http, algorithm: 'oauth2' })
  const as = await oauth.processDiscoveryResponse(issuer, answer)
  const backend = { client_id: settings.client_id }
  const auth = oauth.ClientSecretBasic(settings.client_secret)
  const exchange = (subject, type, more) => oauth.genericTokenEndpointRequest(
    as, backend, auth, EXCHANGE,
    { subject_token: subject, subject_token_type: TYPE + type, ...more }, http,
  ).then((response) => oauth.processGenericTokenEndpointResponse(as, backend, response))
  const refused = (...asked) => exchange(...asked).then(
    (tokens) => ({ unexpected: tokens }),
    (error) => ({ code: error.error, status: error.status }),
  )
  const target = { resource: settings.target }
  const tokens = await exchange(settings.token, 'access_token', target)
  const by_identity = await exchange(settings.identity, 'jwt', { audience: settings.target })
  const wider = await refused(settings.token, 'access_token', { ...target, scope: 'files.write' })
  const elsewhere = await refused(settings.token, 'access_token', { resource: settings.forbidden })
  const told = await oauth.processIntrospectionResponse(as, backend,
    await oauth.introspectionRequest(as, backend, auth, tokens.access_token, http))
  const revoked = await oauth.processRevocationResponse(
    await oauth.revocationRequest(as, backend, auth, by_identity.access_token, http))
  return { as, tokens, by_identity, wider, elsewhere, told, revoked: revoked ?? 'done' }
})
