// An authorisation server that nobody here wrote, for tests/external/oidc: oidc-provider, as a
// clinic would put it before its FHIR server. `npm ci`, then `node server.mjs`: it listens on
// 127.0.0.1 on a free port, says `ready ORIGIN`, and forgets everything at its end, which comes
// with that of its standard input: who started it may be killed and cannot leave it behind.
//
// OAuth is oidc-provider's own: PKCE, codes, rotation and the detection of reuse, revocation,
// introspection, the issuer in the callback. Ours is what every such clinic has to add, and nothing
// that judges a token:
//
// smart.mjs        what SMART App Launch adds to OAuth
// pages.mjs        the pages on which a person signs in and allows
// fhir.mjs         the FHIR base; a token is good there while introspection says so
// log.mjs          what the provider says happened, for tests to ask
//
// Whoever signs in is the patient of that id: tests take a new one each and never meet.

import { once } from 'node:events';
import { createServer } from 'node:http';

import { Provider, errors } from 'oidc-provider';

import { Fhir } from './fhir.mjs';
import { Log } from './log.mjs';
import { pages } from './pages.mjs';
import { SCOPES, smart } from './smart.mjs';

const REDIRECT = 'org.example.app:/callback';

// The app, as it is registered: once as it should be, and once for each habit a server may have.
const app = (client_id, more = {}) => ({
  client_id,
  application_type: 'native',
  token_endpoint_auth_method: 'none',
  grant_types: ['authorization_code', 'refresh_token'],
  response_types: ['code'],
  redirect_uris: [REDIRECT],
  ...more,
});
const CLIENTS = [
  app('cgm-app'),
  // Its access ends within seconds.
  app('cgm-app-brief'),
  // Scopes with restrictions are not for it.
  app('cgm-app-simple', {
    scope: ['offline_access', ...SCOPES.filter((scope) => !scope.includes('?'))].join(' '),
  }),
  // As OpenID Connect has it: offline_access counts only with prompt=consent, which SMART does not
  // know.
  app('cgm-app-openid'),
];
const LIFETIMES = { 'cgm-app-brief': 5 };

// How the FHIR base introspects.
const fhirClient = {
  client_id: 'fhir-base',
  client_secret: 'for-introspection-on-loopback-only',
  grant_types: [],
  response_types: [],
  redirect_uris: [],
};

const server = createServer();
server.listen(0, '127.0.0.1');
await once(server, 'listening');
const origin = `http://127.0.0.1:${server.address().port}`;

const provider = new Provider(origin, {
  clients: [...CLIENTS, fhirClient],
  scopes: ['openid', 'offline_access', ...SCOPES],
  features: {
    devInteractions: { enabled: false },
    introspection: {
      enabled: true,
      allowedPolicy: (_ctx, client, token) =>
        [fhirClient.client_id, token.clientId].includes(client.clientId),
    },
    revocation: {
      enabled: true,
      allowedPolicy: (_ctx, client, token) => client.clientId === token.clientId,
    },
  },
  pkce: { required: () => true },
  rotateRefreshToken: true,
  ttl: {
    AccessToken: (_ctx, _token, client) => LIFETIMES[client.clientId] ?? 600,
    Grant: 86_400,
    IdToken: 600,
    Interaction: 600,
    RefreshToken: 86_400,
    Session: 3_600,
  },
  // SMART: the audience has to be this FHIR base.
  extraParams: {
    aud(_ctx, value) {
      if (value !== `${origin}/fhir`) throw new errors.InvalidRequest('aud is another FHIR base');
    },
  },
  findAccount: (_ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  interactions: { url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
  renderError(ctx, out) {
    ctx.type = 'text';
    ctx.body = `${out.error}: ${out.error_description}`;
  },
});
provider.use(smart(['cgm-app-openid']));

const log = new Log(provider);
const fhir = new Fhir(origin, fhirClient, log);
const onPage = pages(provider);
const oauth = provider.callback();

server.on('request', async (request, response) => {
  const { pathname } = new URL(request.url, origin);
  try {
    const resource = '/fhir/';
    if (pathname.startsWith(resource)) {
      await fhir.answer(request, response, pathname.slice(resource.length));
    } else if (pathname.startsWith('/interaction/')) {
      await onPage(request, response, pathname);
    } else if (pathname.startsWith('/log/')) {
      log.answer(response, pathname.slice('/log/'.length));
    } else {
      await oauth(request, response);
    }
  } catch (error) {
    console.error(error);
    response.writeHead(500).end(String(error));
  }
});
process.stdin.resume().on('end', () => process.exit());
console.log(`ready ${origin}`);
