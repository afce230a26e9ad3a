// Gets an access token from oidc.mjs (or any issuer that has discovery) into a file of mode 0600.
//
//   node token.mjs --issuer URL --client-id ID [--secret-env NAME] --resource URL [--scope SCOPES]
//                  --out FILE [--login NAME --redirect-uri URL]
//
// Without --login: the client credentials grant. With --login: a person's way, authorization code
// with PKCE through the issuer's development pages, as a browser would go; a client without
// --secret-env is a public one. Prints {ok, token_type, expires_in, sub, error}, never the token.

import { createHash, randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { parseOptions } from './arguments.mjs';

const MAX_STEPS = 12;

const options = parseOptions(process.argv.slice(2), {
  values: ['issuer', 'client-id', 'secret-env', 'resource', 'scope', 'out', 'login', 'redirect-uri'],
});

function requireOptions(...names) {
  for (const name of names) {
    if (!options[name]) throw new Error(`--${name} is needed`);
  }
}

async function discover() {
  const response = await fetch(`${options.issuer}/.well-known/openid-configuration`);
  return response.json();
}

function clientAuthentication() {
  if (!options['secret-env']) return {};
  const secret = process.env[options['secret-env']];
  if (!secret) throw new Error(`environment variable ${options['secret-env']} is not set`);
  const pair = `${encodeURIComponent(options['client-id'])}:${encodeURIComponent(secret)}`;
  return { authorization: `Basic ${Buffer.from(pair).toString('base64')}` };
}

async function tokenRequest(endpoint, parameters) {
  const headers = clientAuthentication();
  const body = new URLSearchParams({ ...parameters, resource: options.resource });
  if (!headers.authorization) body.set('client_id', options['client-id']);
  const answer = await (await fetch(endpoint, { method: 'POST', headers, body })).json();
  if (!answer.access_token) throw new Error(`${answer.error}: ${answer.error_description ?? ''}`);
  return answer;
}

/** A browser's memory: cookies, whichever path they were set for (the issuer is one origin). */
class Cookies {
  #jar = new Map();

  remember(response) {
    for (const line of response.headers.getSetCookie()) {
      const [pair, ...attributes] = line.split(';');
      const [name, value] = [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)];
      const path = attributes.find((attribute) => attribute.trim().toLowerCase().startsWith('path='));
      this.#jar.set(`${name} ${path?.trim().slice('path='.length) ?? '/'}`, value);
    }
  }

  headerFor(url) {
    const pairs = [];
    for (const [key, value] of this.#jar) {
      const [name, path] = key.split(' ');
      if (value && url.pathname.startsWith(path)) pairs.push(`${name}=${value}`);
    }
    return { cookie: pairs.join('; ') };
  }
}

function authorizationUrl(endpoint, verifier, state) {
  const url = new URL(endpoint);
  url.search = new URLSearchParams({
    response_type: 'code',
    client_id: options['client-id'],
    redirect_uri: options['redirect-uri'],
    scope: `openid ${options.scope ?? 'mcp:tools'}`,
    resource: options.resource,
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
    state,
  });
  return url;
}

/** What the development page asks for: the fields of its form, filled in. */
function fillForm(page) {
  const prompt = page.match(/name="prompt" value="([a-z]+)"/)?.[1];
  const action = page.match(/<form[^>]* action="([^"]+)"/)?.[1];
  if (!prompt || !action) throw new Error('the issuer shows no development page');
  const fields = prompt === 'login' ? { prompt, login: options.login, password: 'any' } : { prompt };
  return { action, body: new URLSearchParams(fields) };
}

/** Follows redirects and fills in pages until the issuer sends the browser back to the client. */
async function authorize(endpoint, verifier) {
  const state = randomBytes(16).toString('base64url');
  const cookies = new Cookies();
  let url = authorizationUrl(endpoint, verifier, state);
  let init = {};
  for (let step = 0; step < MAX_STEPS; step += 1) {
    const response = await fetch(url, { ...init, redirect: 'manual', headers: cookies.headerFor(url) });
    cookies.remember(response);
    init = {};
    if (response.status >= 300 && response.status < 400) {
      url = new URL(response.headers.get('location'), url);
      if (url.href.startsWith(options['redirect-uri'])) return codeOf(url, state);
    } else {
      const { action, body } = fillForm(await response.text());
      url = new URL(action, url);
      init = { method: 'POST', body };
    }
  }
  throw new Error('the login did not come to an end');
}

function codeOf(url, state) {
  const { error, code, state: returned } = Object.fromEntries(url.searchParams);
  if (error) throw new Error(`${error}: ${url.searchParams.get('error_description') ?? ''}`);
  if (returned !== state) throw new Error('the issuer returned another state');
  return code;
}

async function obtain() {
  requireOptions('issuer', 'client-id', 'resource', 'out');
  const { token_endpoint: tokenEndpoint, authorization_endpoint: authorizationEndpoint } = await discover();
  if (!options.login) {
    return tokenRequest(tokenEndpoint, { grant_type: 'client_credentials', scope: options.scope ?? 'mcp:tools' });
  }
  requireOptions('redirect-uri');
  const verifier = randomBytes(32).toString('base64url');
  const code = await authorize(authorizationEndpoint, verifier);
  const redirect = options['redirect-uri'];
  return tokenRequest(tokenEndpoint, {
    grant_type: 'authorization_code', code, redirect_uri: redirect, code_verifier: verifier,
  });
}

function subjectOf(token) {
  try {
    return JSON.parse(Buffer.from(token.split('.')[1], 'base64url').toString('utf8')).sub;
  } catch {
    return null;
  }
}

let outcome;
try {
  const { access_token: token, token_type: kind, expires_in: seconds } = await obtain();
  writeFileSync(options.out, token, { mode: 0o600 });
  outcome = { ok: true, token_type: kind, expires_in: seconds, sub: subjectOf(token), error: null };
} catch (error) {
  outcome = { ok: false, token_type: null, expires_in: null, sub: null, error: { message: error.message } };
}
process.stdout.write(`${JSON.stringify(outcome)}\n`);
process.exit(outcome.ok ? 0 : 1);
