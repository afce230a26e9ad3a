// A reverse proxy that lets a request through only with the exact credential that it expects,
// and writes down what it saw: the proof that an upstream received a credential.
//
//   EXPECT_SHA256=HEX[,HEX...] | EXPECT_FILE=FILE   node credential-gate.mjs
//       --port PORT --upstream http://127.0.0.1:PORT --log FILE [--header NAME | --query NAME] [--log-ends]
//
// The expectation is the lower-case hex SHA-256 of the whole value (by default of the header
// `Authorization`, so of "Bearer ..."). EXPECT_FILE holds such digests, separated by commas or
// white space, and is read again for each request, so that a test can rotate the credential.
// --query NAME looks at that query parameter's decoded value instead.
//
// LOG gets one line for each request, when its answer's head is known (401 for a refused one,
// 499 for one that the client left before that, 502 when the upstream did not answer). --log-ends
// adds {event: "end", sequence, unix_ms} when the exchange is over. The credential goes no
// further: neither the log nor the upstream gets it.

import { createHash } from 'node:crypto';
import { openSync, readFileSync, writeSync } from 'node:fs';
import http from 'node:http';
import { parseOptions } from './arguments.mjs';

const MAX_BODY_BYTES = 16 * 1024 * 1024;
const IDLE_CONNECTION_MS = 75_000;
const HOP_BY_HOP = ['connection', 'keep-alive', 'proxy-connection', 'te', 'trailer', 'transfer-encoding', 'upgrade'];

const options = parseOptions(process.argv.slice(2), {
  values: ['port', 'upstream', 'log', 'header', 'query'],
  switches: ['log-ends'],
});
for (const needed of ['port', 'upstream', 'log']) {
  if (!options[needed]) throw new Error(`--${needed} is needed`);
}
if (!process.env.EXPECT_SHA256 && !process.env.EXPECT_FILE) {
  throw new Error('EXPECT_SHA256 or EXPECT_FILE is needed');
}
const upstream = new URL(options.upstream);
const credentialHeader = (options.header ?? 'authorization').toLowerCase();
const log = openSync(options.log, 'a', 0o600);
const agent = new http.Agent({ keepAlive: true });
let lastSequence = 0;

const now = () => performance.timeOrigin + performance.now();
const write = (entry) => writeSync(log, `${JSON.stringify(entry)}\n`);

function expectedDigests() {
  const text = process.env.EXPECT_FILE ? readFileSync(process.env.EXPECT_FILE, 'utf8') : process.env.EXPECT_SHA256;
  return text.split(/[\s,]+/).filter(Boolean);
}

/** The digest of the credential the request carries, or null; and the target without it. */
function credentialOf(request) {
  const target = new URL(request.url, upstream);
  let value = request.headers[credentialHeader];
  if (options.query) {
    const values = target.searchParams.getAll(options.query);
    value = values.length === 1 ? values[0] : undefined;
    target.searchParams.delete(options.query);
  }
  const digest = value === undefined ? null : createHash('sha256').update(value).digest('hex');
  return { digest, target: `${target.pathname}${target.search}`, path: target.pathname };
}

async function bodyOf(request) {
  const chunks = [];
  let size = 0;
  for await (const chunk of request) {
    size += chunk.length;
    if (size > MAX_BODY_BYTES) throw new Error('request body too large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** What the request asks of MCP, as far as its body says. */
function mcpOf(body) {
  try {
    const message = JSON.parse(body.toString('utf8'));
    return { mcp_method: message.method ?? null, mcp_id: message.id ?? null, mcp_name: message.params?.name ?? null };
  } catch {
    return { mcp_method: null, mcp_id: null, mcp_name: null };
  }
}

function headersForUpstream(request) {
  const headers = { ...request.headers, host: upstream.host };
  for (const name of [...HOP_BY_HOP, 'content-length']) delete headers[name];
  if (!options.query) delete headers[credentialHeader];
  return headers;
}

function headersForClient(response) {
  const headers = { ...response.headers };
  for (const name of HOP_BY_HOP) delete headers[name];
  return headers;
}

function forward(request, response, target, body, record, mayRetry = true) {
  const headers = headersForUpstream(request);
  if (body.length > 0) headers['content-length'] = body.length;
  const outgoing = http.request(
    { agent, host: upstream.hostname, port: upstream.port, method: request.method, path: target, headers },
    (incoming) => {
      record(incoming.statusCode);
      response.writeHead(incoming.statusCode, headersForClient(incoming));
      // An event stream may stay silent for long: its head must not wait for its first event.
      response.flushHeaders();
      incoming.pipe(response);
      incoming.on('error', () => response.destroy());
    },
  );
  outgoing.on('error', () => {
    // A pooled connection that the upstream closed while it was idle says nothing about this request.
    if (mayRetry && outgoing.reusedSocket && !response.headersSent && !response.destroyed) {
      forward(request, response, target, body, record, false);
      return;
    }
    record(502);
    if (response.headersSent) response.destroy();
    else response.writeHead(502).end();
  });
  response.on('close', () => outgoing.destroy());
  outgoing.end(body);
}

async function handle(request, response) {
  const began = now();
  lastSequence += 1;
  const sequence = lastSequence;
  const { digest, target, path } = credentialOf(request);
  const authorized = digest !== null && expectedDigests().includes(digest);
  const body = await bodyOf(request).catch(() => null);
  const entry = {
    event: 'request',
    sequence,
    time: new Date(began).toISOString(),
    unix_ms: began,
    method: request.method,
    path,
    status: null,
    authorized,
    sha256_of_authorization: digest,
    request_id: request.headers['x-request-id'] ?? null,
    protocol_version: request.headers['mcp-protocol-version'] ?? null,
    has_session: request.headers['mcp-session-id'] !== undefined,
    ...mcpOf(body ?? Buffer.alloc(0)),
  };
  let recorded = false;
  const record = (status) => {
    if (recorded) return;
    recorded = true;
    write({ ...entry, status });
  };
  response.on('close', () => {
    record(499);
    if (options['log-ends']) write({ event: 'end', sequence, unix_ms: now() });
  });
  if (body === null) {
    record(400);
    response.destroy();
  } else if (authorized) {
    forward(request, response, target, body, record);
  } else {
    record(401);
    response.writeHead(401, { 'www-authenticate': 'Bearer', 'content-type': 'application/json' });
    response.end('{"error":"the credential is missing or wrong"}\n');
  }
}

const server = http.createServer((request, response) => {
  handle(request, response).catch((error) => {
    process.stderr.write(`credential-gate: ${error.message}\n`);
    if (response.headersSent) response.destroy();
    else response.writeHead(500).end();
  });
});
server.requestTimeout = 0;
server.keepAliveTimeout = IDLE_CONNECTION_MS;
server.headersTimeout = IDLE_CONNECTION_MS + 1000;
server.listen(Number(options.port), '127.0.0.1', () => {
  process.stdout.write(`${JSON.stringify({ ready: `http://127.0.0.1:${server.address().port}` })}\n`);
});
