// An MCP server that demands OAuth of its own: npm @modelcontextprotocol/sdk with its requireBearerAuth
// and its protected-resource metadata (RFC 9728), on loopback, endpoint /mcp.
//
//   node oauth-server.mjs --port PORT --issuer URL --scopes "A B" --log FILE      (port 0: any free one)
//                         [--jwks URL] [--introspect CLIENT]
//
// Accepts JWTs of the issuer whose audience is this server's own URL and that carry every scope. The keys
// are those that the issuer's metadata names, or --jwks where it has none. With --introspect the tokens are
// opaque and the issuer is asked, as CLIENT with the secret in INTROSPECTION_SECRET.
//
// Prints {"ready": URL} once it listens. Tools: `whoami` (the authority that it saw), `read_notes` and
// `write_notes` (each needs the scope of its name where the issuer knows such scopes). LOG gets one line for
// each request: {method, status, client, rpc, tool, request_id, authority}, never the token.

import { openSync, writeSync } from 'node:fs';
import http from 'node:http';
import { InvalidTokenError } from '@modelcontextprotocol/sdk/server/auth/errors.js';
import { requireBearerAuth } from '@modelcontextprotocol/sdk/server/auth/middleware/bearerAuth.js';
import { getOAuthProtectedResourceMetadataUrl } from '@modelcontextprotocol/sdk/server/auth/router.js';
import { createMcpExpressApp } from '@modelcontextprotocol/sdk/server/express.js';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import { parseOptions } from './arguments.mjs';
import { KeySets } from './jwt.mjs';

const NEEDED = ['port', 'issuer', 'scopes', 'log'];
// What a token may say about whose authority it is. Nothing else of it is written down or shown.
const SPOKEN = [
  'iss', 'sub', 'client_id', 'scope', 'aud', 'act', 'groups', 'agent', 'owner_team', 'team', 'tools',
  'environment', 'workload', 'user', 'asserted_by', 'binding', 'risk_ceiling', 'server', 'tool',
];
const options = parseOptions(process.argv.slice(2), { values: [...NEEDED, 'jwks', 'introspect'] });
for (const needed of NEEDED) {
  if (options[needed] === undefined) throw new Error(`--${needed} is needed`);
}
const requiredScopes = options.scopes.split(' ').filter(Boolean);
const log = openSync(options.log, 'a', 0o600);
const keySets = new KeySets();
// An issuer that only publishes keys has no metadata of an authorization server to pass on.
const oauthMetadata = options.jwks
  ? null
  : await (await fetch(`${options.issuer}/.well-known/openid-configuration`)).json();

/** The claims of a token that the issuer signed. */
async function signedClaims(token) {
  const { claims } = await keySets.verified(token, options.jwks ?? oauthMetadata.jwks_uri);
  if (claims.iss !== options.issuer) throw new Error('another issuer');
  return claims;
}

/** What the issuer says about an opaque token (RFC 7662). */
async function introspected(token) {
  const pair = [options.introspect, process.env.INTROSPECTION_SECRET].map(encodeURIComponent).join(':');
  const answer = await fetch(oauthMetadata.introspection_endpoint, {
    method: 'POST',
    headers: { authorization: `Basic ${Buffer.from(pair).toString('base64')}` },
    body: new URLSearchParams({ token }),
  });
  const claims = await answer.json();
  if (claims.active !== true) throw new Error('not active');
  return claims;
}

const verifier = {
  async verifyAccessToken(token) {
    let claims;
    try {
      claims = await (options.introspect ? introspected(token) : signedClaims(token));
    } catch (error) {
      throw new InvalidTokenError(error.message);
    }
    const authority = Object.fromEntries(SPOKEN.filter((name) => claims[name] !== undefined).map((name) => [name, claims[name]]));
    return {
      token,
      clientId: claims.client_id ?? claims.sub,
      scopes: (claims.scope ?? '').split(' ').filter(Boolean),
      expiresAt: claims.exp,
      resource: new URL(Array.isArray(claims.aud) ? claims.aud[0] : claims.aud),
      extra: { authority: { ...authority, seconds: claims.exp - claims.iat } },
    };
  },
};

const text = (value) => ({ content: [{ type: 'text', text: value }] });

/** Needs the scope of that name, where the token has scopes that speak of notes at all. */
function notes(scope) {
  return ({ authInfo }) => {
    const speaks = authInfo.scopes.some((candidate) => candidate.startsWith('notes:'));
    if (speaks && !authInfo.scopes.includes(scope)) return { ...text(`needs ${scope}`), isError: true };
    return text(`done with ${authInfo.scopes.join(' ')}`);
  };
}

function newServer() {
  const server = new McpServer({ name: 'oauth-server', version: '1.0.0' });
  server.registerTool('whoami', { description: 'The authority that the token carries' }, ({ authInfo }) =>
    text(JSON.stringify({ client: authInfo.clientId, ...authInfo.extra.authority })));
  server.registerTool('read_notes', { description: 'Reads notes' }, notes('notes:read'));
  server.registerTool('write_notes', { description: 'Writes notes' }, notes('notes:write'));
  return server;
}

function entryOf(request, response) {
  return {
    method: request.method,
    status: response.statusCode,
    client: request.auth?.clientId ?? null,
    rpc: request.body?.method ?? null,
    tool: request.body?.params?.name ?? null,
    request_id: request.headers['mcp-gateway-request-id'] ?? request.headers['x-request-id'] ?? null,
    authority: request.auth?.extra.authority ?? null,
  };
}

// The resource's name holds the port, so the socket comes first and the application second.
const listener = http.createServer();
listener.listen(Number(options.port), '127.0.0.1', () => {
  const url = new URL(`http://127.0.0.1:${listener.address().port}/mcp`);
  const app = createMcpExpressApp();
  app.use((request, response, next) => {
    response.on('finish', () => writeSync(log, `${JSON.stringify(entryOf(request, response))}\n`));
    next();
  });
  const resourceMetadataUrl = getOAuthProtectedResourceMetadataUrl(url);
  // The SDK's own router takes no issuer at another loopback address than 127.0.0.1.
  app.get(new URL(resourceMetadataUrl).pathname, (_request, response) => response.json({
    resource: url.href,
    authorization_servers: [options.issuer],
    scopes_supported: requiredScopes,
    bearer_methods_supported: ['header'],
  }));
  app.use('/mcp', requireBearerAuth({ verifier, requiredScopes, resourceMetadataUrl, expectedResource: url }));
  app.post('/mcp', async (request, response) => {
    const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: undefined });
    response.on('close', () => transport.close());
    await newServer().connect(transport);
    await transport.handleRequest(request, response, request.body);
  });
  app.all('/mcp', (_request, response) => response.status(405).set('Allow', 'POST').end());
  listener.on('request', app);
  process.stdout.write(`${JSON.stringify({ ready: url.href })}\n`);
});
