// An MCP server that demands OAuth of its own: npm @modelcontextprotocol/sdk with its requireBearerAuth
// and its protected-resource metadata (RFC 9728), on loopback, endpoint /mcp.
//
//   node oauth-server.mjs --port PORT --issuer URL --scopes "A B" --log FILE      (port 0: any free one)
//
// Accepts JWTs of the issuer whose audience is this server's own URL and that carry every scope.
// Prints {"ready": URL} once it listens. LOG gets one line for each request: {method, status, client},
// the client being the token's where it was accepted.

import { createPublicKey, verify } from 'node:crypto';
import { openSync, writeSync } from 'node:fs';
import http from 'node:http';
import { InvalidTokenError } from '@modelcontextprotocol/sdk/server/auth/errors.js';
import { requireBearerAuth } from '@modelcontextprotocol/sdk/server/auth/middleware/bearerAuth.js';
import {
  getOAuthProtectedResourceMetadataUrl,
  mcpAuthMetadataRouter,
} from '@modelcontextprotocol/sdk/server/auth/router.js';
import { createMcpExpressApp } from '@modelcontextprotocol/sdk/server/express.js';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import { parseOptions } from './arguments.mjs';

const options = parseOptions(process.argv.slice(2), { values: ['port', 'issuer', 'scopes', 'log'] });
for (const needed of ['port', 'issuer', 'scopes', 'log']) {
  if (!options[needed]) throw new Error(`--${needed} is needed`);
}
const requiredScopes = options.scopes.split(' ');
const log = openSync(options.log, 'a', 0o600);
const oauthMetadata = await (await fetch(`${options.issuer}/.well-known/openid-configuration`)).json();
const { keys } = await (await fetch(oauthMetadata.jwks_uri)).json();

const decode = (part) => JSON.parse(Buffer.from(part, 'base64url').toString('utf8'));

/** The claims of a token that the issuer signed with ES256. */
function claimsOf(token) {
  const [head, payload, signature] = token.split('.');
  if (!signature) throw new InvalidTokenError('not a signed token');
  const key = keys.find((candidate) => candidate.kid === decode(head).kid);
  if (!key) throw new InvalidTokenError('signed by somebody else');
  const publicKey = { key: createPublicKey({ key, format: 'jwk' }), dsaEncoding: 'ieee-p1363' };
  const signed = Buffer.from(`${head}.${payload}`);
  if (!verify('sha256', signed, publicKey, Buffer.from(signature, 'base64url'))) {
    throw new InvalidTokenError('the signature is wrong');
  }
  return decode(payload);
}

const verifier = {
  async verifyAccessToken(token) {
    const claims = claimsOf(token);
    return {
      token,
      clientId: claims.client_id,
      scopes: (claims.scope ?? '').split(' '),
      expiresAt: claims.exp,
      resource: new URL(claims.aud),
    };
  },
};

function newServer() {
  const server = new McpServer({ name: 'oauth-server', version: '1.0.0' });
  server.registerTool('whoami', { description: 'The client that the token was issued to' }, ({ authInfo }) => ({
    content: [{ type: 'text', text: authInfo.clientId }],
  }));
  return server;
}

// The resource's name holds the port, so the socket comes first and the application second.
const listener = http.createServer();
listener.listen(Number(options.port), '127.0.0.1', () => {
  const url = new URL(`http://127.0.0.1:${listener.address().port}/mcp`);
  const app = createMcpExpressApp();
  app.use((request, response, next) => {
    response.on('finish', () => {
      const entry = { method: request.method, status: response.statusCode, client: request.auth?.clientId ?? null };
      writeSync(log, `${JSON.stringify(entry)}\n`);
    });
    next();
  });
  app.use(mcpAuthMetadataRouter({ oauthMetadata, resourceServerUrl: url, scopesSupported: requiredScopes }));
  const resourceMetadataUrl = getOAuthProtectedResourceMetadataUrl(url);
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
