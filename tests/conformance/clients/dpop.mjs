// Proofs by the package `dpop`, which makes them and nothing else. Result: step → answer.
import * as DPoP from 'dpop'
import { open, report, settings } from './talk.mjs'

const { issuer, resource } = settings
const token = `${issuer}/token`

const json = (body) => ({
  method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body),
})

/** The answer to *send(nonce)*, which is sent again with the nonce of the refusal. */
async function withNonce(nonces, send) {
  const first = await send()
  const nonce = first.headers.get('dpop-nonce')
  const asked = (first.headers.get('www-authenticate') ?? '') + (await first.clone().text())
  if (first.ok || !nonce || !asked.includes('use_dpop_nonce')) return first
  nonces.push(nonce)
  return send(nonce)
}

await report(async () => {
  const nonces = []
  const keys = await DPoP.generateKeyPair(settings.algorithm)
  const thief = await DPoP.generateKeyPair(settings.algorithm)
  const client = await (await fetch(`${issuer}/register`, json({
    redirect_uris: [settings.redirect_uri], token_endpoint_auth_method: 'none',
    grant_types: ['authorization_code', 'refresh_token'],
  }))).json()
  const jkt = await DPoP.calculateThumbprint(keys.publicKey)
  const url = new URL(`${issuer}/authorize`)
  url.search = new URLSearchParams({
    response_type: 'code', client_id: client.client_id, redirect_uri: settings.redirect_uri,
    scope: settings.scope, state: 'a-state', resource, dpop_jkt: jkt,
    code_challenge: settings.challenge, code_challenge_method: 'S256',
  })
  const code = (await open(url)).searchParams.get('code')

  const ask = (pair, form) => withNonce(nonces, async (nonce) => fetch(token, {
    method: 'POST',
    headers: { dpop: await DPoP.generateProof(pair, token, 'POST', nonce) },
    body: new URLSearchParams({ client_id: client.client_id, ...form }),
  }))
  const redeem = (pair) => ask(pair, {
    grant_type: 'authorization_code', code, redirect_uri: settings.redirect_uri,
    code_verifier: settings.verifier,
  })
  const call = (pair, value) => withNonce(nonces, async (nonce) => fetch(resource, {
    headers: {
      authorization: `DPoP ${value}`,
      dpop: await DPoP.generateProof(pair, resource, 'GET', nonce, value),
    },
  }))

  const stolen = await (await redeem(thief)).json()
  const first = await (await redeem(keys)).json()
  const called = (await call(keys, first.access_token)).status
  const robbed = (await call(thief, first.access_token)).status
  const renewal = { grant_type: 'refresh_token', refresh_token: first.refresh_token }
  const second = await (await ask(keys, renewal)).json()
  const renewed = (await call(keys, second.access_token)).status
  return {
    jkt, stolen: stolen.error, type: first.token_type, called, robbed, renewed, token: first.access_token,
    nonces: nonces.length,
  }
})
