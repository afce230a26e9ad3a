// What the provider did, by its own account: one line a request in a file, and sums at /ledger.

import { openSync, writeSync } from 'node:fs';

const ROUTES = new Set(['token', 'revocation', 'introspection', 'registration', 'resume']);

/** How the client proved to be itself, as the request shows it. */
function authentication(ctx) {
  const body = ctx.oidc.body ?? {};
  if (ctx.get('authorization').toLowerCase().startsWith('basic ')) return 'basic';
  if (body.client_assertion) return 'assertion';
  return body.client_secret ? 'post' : 'none';
}

function entryOf(ctx) {
  const { route, params = {}, client } = ctx.oidc;
  const failure = ctx.body?.error;
  return {
    micros: Date.now() * 1000,
    route,
    grant_type: params.grant_type ?? null,
    client: client?.clientId ?? null,
    authentication: authentication(ctx),
    scope: params.scope ?? null,
    resource: params.resource ?? params.audience ?? null,
    pkce: route === 'token' ? Boolean(params.code_verifier) : null,
    status: ctx.status,
    error: failure ?? null,
    granted: ctx.body?.scope ?? null,
    active: ctx.body?.active ?? null,
  };
}

/** Remembers requests; `watch` hooks it into a provider. */
export class Ledger {
  #file;

  #sums = {};

  constructor(path) {
    if (path) this.#file = openSync(path, 'a', 0o600);
  }

  watch(provider) {
    provider.use(async (ctx, next) => {
      await next();
      if (ROUTES.has(ctx.oidc?.route)) this.#write(entryOf(ctx));
    });
  }

  #write(entry) {
    const what = entry.route === 'token' ? entry.grant_type?.replace(/^.*:/, '') : entry.route;
    const sum = `${what}${entry.status < 400 ? '' : ':refused'}`;
    this.#sums[sum] = (this.#sums[sum] ?? 0) + 1;
    if (this.#file !== undefined) writeSync(this.#file, `${JSON.stringify(entry)}\n`);
  }

  answer(response) {
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(JSON.stringify(this.#sums));
  }
}
