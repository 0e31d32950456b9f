// A certified OpenID provider, the package oidc-provider, with one user and clients of each kind.
// node oidc_provider.mjs '{"port": …, "redirect_uri": …, "secret": …, "jwk": {…}}'

import Provider from "oidc-provider";

const { port, redirect_uri, secret, jwk } = JSON.parse(process.argv[2]);

const client = (method, more) => ({
  client_id: method,
  token_endpoint_auth_method: method,
  redirect_uris: [redirect_uri],
  grant_types: ["authorization_code", "refresh_token"],
  response_types: ["code"],
  application_type: "native",
  ...more,
});

const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [
    client("client_secret_basic", { client_secret: secret }),
    client("client_secret_post", { client_secret: secret }),
    client("private_key_jwt", { jwks: { keys: [jwk] } }),
    client("none", {}),
  ],
  claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name", "groups"] },
  cookies: { keys: ["a key of this test alone"] },
  features: { revocation: { enabled: true }, introspection: { enabled: true } },
  pkce: { required: () => true },
  rotateRefreshToken: true,
  clientBasedCORS: () => false,
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({
      sub: id,
      email: `${id}@corp.example`,
      email_verified: true,
      name: "Alice Example",
      groups: ["ops", "staff"],
    }),
  }),
});

provider.listen(port, "127.0.0.1");
