// What the provider itself says happened, by the person it happened to, so that a test sees it from
// the server's side.

export class Log {
  #lines = new Map();
  // Whose a grant, code or refresh token is, or was.
  #persons = new Map();

  constructor(provider) {
    for (const kind of ['grant', 'authorization_code', 'refresh_token']) {
      provider.on(`${kind}.saved`, ({ jti, accountId }) => this.#persons.set(jti, accountId));
    }
    provider.on('grant.success', ({ oidc: { params } }) =>
      this.#say(params.code ?? params.refresh_token, params.grant_type),
    );
    provider.on('grant.revoked', (_ctx, grant) => this.#say(grant, 'grant revoked'));
    provider.on('grant.error', ({ oidc: { params } }, error) =>
      this.#say(params.code ?? params.refresh_token, error.error_detail),
    );
    provider.on('server_error', (_ctx, error) => console.error(error));
  }

  #say(id, line) {
    this.say(this.#persons.get(id), line);
  }

  say(person, line) {
    this.#lines.set(person, [...(this.#lines.get(person) ?? []), line]);
  }

  answer(response, person) {
    const lines = JSON.stringify(this.#lines.get(person) ?? []);
    response.writeHead(200, { 'content-type': 'application/json' }).end(lines);
  }
}
