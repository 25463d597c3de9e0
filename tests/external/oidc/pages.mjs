// The pages on which a person signs in and says what an app may do: plain forms. Any name is a
// person, without a password.

import { text } from 'node:stream/consumers';

const form = (action, fields) =>
  `<!doctype html><form method="post" action="${action}">${fields}<button>Go on</button></form>` +
  `<a href="${action}/abort">Deny</a>`;

const box = (scope) =>
  `<label><input type="checkbox" name="scope" value="${scope}" checked>${scope}</label>`;

// What the person was asked to allow and left out is refused, not merely missing: the provider
// would ask for it again.
async function consent({ prompt, grantId, session, params }, provider, allowed) {
  const asked = prompt.details.missingOIDCScope ?? [];
  const known = grantId && (await provider.Grant.find(grantId));
  const grant =
    known || new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  grant.addOIDCScope(asked.join(' '));
  grant.rejectOIDCScope(asked.filter((scope) => !allowed.includes(scope)).join(' '));
  return { consent: { grantId: await grant.save() } };
}

export const pages = (provider) => async (request, response, pathname) => {
  const interaction = await provider.interactionDetails(request, response);
  const { prompt, uid } = interaction;
  const finish = (result) =>
    provider.interactionFinished(request, response, result, {
      mergeWithLastSubmission: prompt.name === 'consent',
    });

  if (pathname.endsWith('/abort')) {
    return finish({ error: 'access_denied', error_description: 'the person said no' });
  }
  if (request.method === 'POST') {
    const said = new URLSearchParams(await text(request));
    if (prompt.name === 'login') return finish({ login: { accountId: said.get('login') } });
    return finish(await consent(interaction, provider, said.getAll('scope')));
  }
  const scopes = prompt.details.missingOIDCScope ?? [];
  const fields = prompt.name === 'login' ? '<input name="login">' : scopes.map(box).join('');
  response.writeHead(200, { 'content-type': 'text/html' }).end(form(`/interaction/${uid}`, fields));
};
