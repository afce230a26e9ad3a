// npm oidc-provider on loopback: the issuer of caller tokens and operator tokens, the identity provider
// of an enterprise, and an authorization server that upstream servers trust.
//
//   OIDC_CLIENTS='[{"client_id":"…","client_secret":"…"}]' node oidc.mjs PORT      (0: any free port)
//
// Prints {"ready": ISSUER, ...} once it listens. Discovery: ISSUER/.well-known/openid-configuration.
// Access tokens are JWTs (typ at+jwt) whose audience is the `resource` that was asked for.
//
//   OIDC_CLIENTS   JSON array; beside the standard metadata each client may have
//                  "groups": [..]         the claim `groups` of its tokens,
//                  "claims": {..}         more claims of its tokens,
//                  "access_token_ttl": n  their life in seconds (default 600).
//                  Without grant_types a client gets client_credentials only.
//   OIDC_ACCOUNTS  JSON object {login: {claim: value}} for people who log in by authorization
//                  code with PKCE at the development pages; their claims go into their tokens.
//   OIDC_ALG       RS256 (default), PS256, ES256 or EdDSA.
//   OIDC_SCOPES    scopes that every resource offers, separated by spaces (default "mcp:tools").
//   OIDC_JWKS_FILE keeps the signing keys across restarts; created, mode 0600, when absent.
//                  OIDC_ROTATE=1 puts a new key first and keeps publishing the old ones.
//   OIDC_HOST      the loopback address to listen on (default 127.0.0.1): browsers keep cookies per host.
//   OIDC_TOKENS    jwt (default), or opaque: such tokens are asked for at ISSUER/token/introspection.
//   OIDC_TRUST_FILE  whose tokens and assertions count in token exchange and JWT bearer (oidc-grants.mjs);
//                  without it there are no such grants.
//   OIDC_REGISTRATION=1  lets clients register themselves (RFC 7591).
//   OIDC_CLIENT_DOCUMENTS=1  reads clients' metadata documents, on this machine too; NODE_EXTRA_CA_CERTS
//                  names whose certificates count then.
//   OIDC_LEDGER    a file that gets one line for each request that matters; the sums are at ISSUER/ledger.
//
// Clients that may use refresh_token get rotating refresh tokens; a second use ends the whole grant.

import { generateKeyPair } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { promisify } from 'node:util';
import Provider from 'oidc-provider';
import { Grants } from './oidc-grants.mjs';
import { Ledger } from './oidc-ledger.mjs';

// The library's notices must not mix with the one line that callers read.
globalThis.console = new console.Console(process.stderr);

const KEY_KINDS = {
  RS256: ['rsa', { modulusLength: 2048 }],
  PS256: ['rsa', { modulusLength: 2048 }],
  ES256: ['ec', { namedCurve: 'P-256' }],
  EdDSA: ['ed25519', {}],
};
const DEFAULT_TTL_SECONDS = 600;
const OWN_METADATA = ['groups', 'claims', 'access_token_ttl'];

const port = Number(process.argv[2]);
if (process.argv.length !== 3 || !Number.isInteger(port)) throw new Error('usage: oidc.mjs PORT');
const algorithm = process.env.OIDC_ALG ?? 'RS256';
if (!KEY_KINDS[algorithm]) throw new Error(`OIDC_ALG is one of ${Object.keys(KEY_KINDS).join(', ')}`);
const clients = JSON.parse(process.env.OIDC_CLIENTS ?? '[]');
const accounts = JSON.parse(process.env.OIDC_ACCOUNTS ?? '{}');
const scopes = process.env.OIDC_SCOPES ?? 'mcp:tools';
const host = process.env.OIDC_HOST ?? '127.0.0.1';
const format = process.env.OIDC_TOKENS ?? 'jwt';
// What the custom grants say about the tokens they issue.
const exchanged = new WeakMap();
const readsDocuments = process.env.OIDC_CLIENT_DOCUMENTS === '1';
// The library fetches from public addresses only; here everything is on the loopback.
const unguarded = { fetch: (url, options) => fetch(url, { ...options, dispatcher: undefined }) };

async function newKey() {
  const [kind, parameters] = KEY_KINDS[algorithm];
  const { privateKey } = await promisify(generateKeyPair)(kind, parameters);
  return { ...privateKey.export({ format: 'jwk' }), alg: algorithm, use: 'sig', kid: crypto.randomUUID() };
}

async function signingKeys() {
  const file = process.env.OIDC_JWKS_FILE;
  const kept = file && existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')).keys : [];
  if (kept.length > 0 && process.env.OIDC_ROTATE !== '1') return { keys: kept };
  const jwks = { keys: [await newKey(), ...kept] };
  if (file) writeFileSync(file, JSON.stringify(jwks), { mode: 0o600 });
  return jwks;
}

function clientMetadata(client) {
  const standard = Object.fromEntries(Object.entries(client).filter(([name]) => !OWN_METADATA.includes(name)));
  const grants = standard.grant_types ?? ['client_credentials'];
  if (grants.includes('authorization_code')) return standard;
  return { ...standard, grant_types: grants, redirect_uris: [], response_types: [] };
}

function claimsOfClient(clientId) {
  const client = clients.find((candidate) => candidate.client_id === clientId);
  return { ...client?.claims, ...(client?.groups ? { groups: client.groups } : {}) };
}

function resourceInfo(_context, resource, client) {
  const known = clients.find((candidate) => candidate.client_id === client.clientId);
  return {
    scope: scopes,
    audience: resource,
    accessTokenFormat: format,
    accessTokenTTL: known?.access_token_ttl ?? DEFAULT_TTL_SECONDS,
    ...(format === 'jwt' ? { jwt: { sign: { alg: algorithm } } } : {}),
  };
}

function claimsOfToken(_context, token) {
  return { ...claimsOfClient(token.clientId), ...accounts[token.accountId], ...exchanged.get(token) };
}

function configuration(jwks) {
  return {
    jwks,
    clients: clients.map(clientMetadata),
    clientDefaults: { id_token_signed_response_alg: algorithm },
    enabledJWA: { idTokenSigningAlgValues: [algorithm], userinfoSigningAlgValues: [algorithm] },
    scopes: ['openid', 'offline_access', ...scopes.split(' ')],
    claims: { openid: ['sub', 'groups', 'email', 'name'] },
    pkce: { required: () => true },
    ...(readsDocuments ? unguarded : {}),
    cookies: { keys: [crypto.randomUUID()] },
    extraTokenClaims: claimsOfToken,
    rotateRefreshToken: true,
    issueRefreshToken: (_context, client) => client.grantTypeAllowed('refresh_token'),
    findAccount: (_context, id) =>
      accounts[id] && { accountId: id, claims: () => ({ sub: id, ...accounts[id] }) },
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: true },
      introspection: { enabled: true },
      revocation: { enabled: true },
      registration: { enabled: process.env.OIDC_REGISTRATION === '1' },
      ...(readsDocuments ? { clientIdMetadataDocument: { enabled: true, ack: 'draft-02' } } : {}),
      resourceIndicators: {
        enabled: true,
        useGrantedResource: () => true,
        getResourceServerInfo: resourceInfo,
      },
    },
  };
}

// The issuer's name holds the port, so the socket comes first and the provider second.
const server = http.createServer();
server.listen(port, host, async () => {
  const issuer = `http://${host}:${server.address().port}`;
  const jwks = await signingKeys();
  const provider = new Provider(issuer, configuration(jwks));
  const ledger = new Ledger(process.env.OIDC_LEDGER);
  ledger.watch(provider);
  if (process.env.OIDC_TRUST_FILE) registerGrants(provider, jwks.keys);
  provider.on('server_error', (_context, error) => process.stderr.write(`oidc: ${error.message}\n`));
  const answer = provider.callback();
  server.on('request', (request, response) => (request.url === '/ledger' ? ledger.answer(response) : answer(request, response)));
  process.stdout.write(`${JSON.stringify({ ready: issuer, token_endpoint: `${issuer}/token`, algorithm })}\n`);
});

function registerGrants(provider, keys) {
  new Grants({
    trustFile: process.env.OIDC_TRUST_FILE,
    clients,
    keys,
    claims: exchanged,
    resourceInfo,
    allowed: (clientId) => clients.find((client) => client.client_id === clientId)?.scope?.split(' '),
  }).register(provider);
}
