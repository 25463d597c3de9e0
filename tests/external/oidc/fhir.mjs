// The FHIR base: as little of HL7 CGM as an app needs to connect and to submit. Whether a token is
// good, and for whom and for what, is asked of the provider's introspection endpoint for every
// request.

import { buffer } from 'node:stream/consumers';
import { gunzipSync } from 'node:zlib';

export class Fhir {
  #origin;
  #client;
  #log;

  constructor(origin, client, log) {
    this.#origin = origin;
    this.#client = client;
    this.#log = log;
  }

  async answer(request, response, path) {
    const [status, resource] = await this.#resource(request, path);
    const challenge = status === 401 && { 'www-authenticate': 'Bearer' };
    const headers = { 'content-type': 'application/fhir+json', ...challenge };
    response.writeHead(status, headers).end(JSON.stringify(resource));
  }

  async #resource(request, path) {
    if (path === '.well-known/smart-configuration') return [200, await this.#smartConfiguration()];
    if (path === 'metadata') return [200, capabilities];

    const token = await this.#introspect(request.headers.authorization);
    if (!token.active) return [401, problem('login')];
    if (path === `Patient/${token.sub}`) {
      return allows(token, 'Patient', 'r') ? [200, person(token.sub)] : [403, problem('forbidden')];
    }
    if (path === 'ServiceRequest') {
      const allowed = allows(token, 'ServiceRequest', 's');
      return allowed ? [200, bundle('searchset', [])] : [403, problem('forbidden')];
    }
    if (path === '$submit-cgm-bundle' && request.method === 'POST') {
      return [200, await this.#take(request, token)];
    }
    return [404, problem('not-found')];
  }

  // The provider's own words, and what SMART asks for besides.
  async #smartConfiguration() {
    const published = await this.#published();
    return {
      ...published,
      capabilities: [
        'launch-standalone',
        'client-public',
        'context-standalone-patient',
        'permission-offline',
        'permission-patient',
        'permission-v2',
      ],
    };
  }

  async #published() {
    return (await fetch(`${this.#origin}/.well-known/openid-configuration`)).json();
  }

  async #introspect(authorization = '') {
    const { introspection_endpoint: endpoint } = await this.#published();
    const { client_id: id, client_secret: secret } = this.#client;
    const answer = await fetch(endpoint, {
      method: 'POST',
      headers: { authorization: `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}` },
      body: new URLSearchParams({ token: authorization.replace(/^Bearer /, '') || 'none' }),
    });
    if (!answer.ok) throw new Error(`introspection: ${await answer.text()}`);
    return answer.json();
  }

  async #take(request, token) {
    const body = await buffer(request);
    const zipped = request.headers['content-encoding'] === 'gzip';
    const { type, entry } = JSON.parse(zipped ? gunzipSync(body) : body);
    const answers = entry.map(({ resource }) => {
      if (!allows(token, resource.resourceType, 'c')) {
        return { response: { status: '403', outcome: problem('forbidden') } };
      }
      this.#log.say(token.sub, `took ${resource.resourceType}`);
      const location = `${resource.resourceType}/${crypto.randomUUID()}/_history/1`;
      return { response: { status: '201', location } };
    });
    return bundle(`${type}-response`, answers);
  }
}

// Restrictions are not looked at: what is sent here carries what they ask for.
function allows({ scope = '' }, resource, letter) {
  return scope.split(' ').some((one) => {
    const [what, letters] = one.split('?')[0].split('.');
    return what === `patient/${resource}` && letters.includes(letter);
  });
}

const bundle = (type, entry) => ({ resourceType: 'Bundle', type, entry });

const problem = (code) => ({
  resourceType: 'OperationOutcome',
  issue: [{ severity: 'error', code }],
});

const person = (id) => ({
  resourceType: 'Patient',
  id,
  name: [{ family: 'Real', given: ['Person'] }],
  birthDate: '1980-02-29',
});

const capabilities = {
  resourceType: 'CapabilityStatement',
  status: 'active',
  date: '2025-01-01',
  kind: 'instance',
  fhirVersion: '4.0.1',
  format: ['json'],
  instantiates: ['http://hl7.org/fhir/uv/cgm/CapabilityStatement/cgm-data-receiver'],
  rest: [
    {
      mode: 'server',
      operation: [
        {
          name: 'submit-cgm-bundle',
          definition: 'http://hl7.org/fhir/uv/cgm/OperationDefinition/submit-cgm-bundle',
        },
      ],
    },
  ],
};
