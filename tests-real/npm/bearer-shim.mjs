// Stands in front of a gateway for a client that cannot send a token of its own: the conformance suite.
//
//   node bearer-shim.mjs --port PORT --upstream http://127.0.0.1:PORT/PATH --token-file FILE [--drop HEADER]
//
// Adds `Authorization` and leads every path to the upstream's. Everything else passes as it came, `Host` and
// `Origin` above all: the suite forges them and wants to see them refused. Nothing is held back, either way,
// and a client that leaves takes its request to the upstream with it. --drop loses one header of every request: the
// sabotage that shows that the suite notices.

import { readFileSync } from 'node:fs';
import http from 'node:http';
import { parseOptions } from './arguments.mjs';

const options = parseOptions(process.argv.slice(2), { values: ['port', 'upstream', 'token-file', 'drop'] });
for (const needed of ['port', 'upstream', 'token-file']) {
  if (!options[needed]) throw new Error(`--${needed} is needed`);
}
const upstream = new URL(options.upstream);
const authorization = `Bearer ${readFileSync(options['token-file'], 'utf8').trim()}`;
const dropped = ['authorization', 'connection', options.drop?.toLowerCase()];
const agent = new http.Agent({ keepAlive: true });

/** The request's headers in their order and spelling, with ours for the credential. */
function headersOf(request) {
  const raw = request.rawHeaders;
  const headers = [];
  for (let index = 0; index < raw.length; index += 2) {
    if (!dropped.includes(raw[index].toLowerCase())) headers.push(raw[index], raw[index + 1]);
  }
  headers.push('Authorization', authorization);
  return headers;
}

const server = http.createServer((request, response) => {
  const outgoing = http.request(
    {
      agent, host: upstream.hostname, port: upstream.port, method: request.method, path: upstream.pathname,
      headers: headersOf(request), setHost: false,
    },
    (incoming) => {
      response.writeHead(incoming.statusCode, incoming.statusMessage, incoming.rawHeaders);
      response.flushHeaders();
      incoming.pipe(response);
      incoming.on('error', () => response.destroy());
    },
  );
  outgoing.on('error', () => {
    if (response.headersSent) response.destroy();
    else response.writeHead(502).end();
  });
  response.on('close', () => outgoing.destroy());
  request.pipe(outgoing);
});
server.requestTimeout = 0;
server.listen(Number(options.port), '127.0.0.1', () => {
  process.stdout.write(`${JSON.stringify({ ready: `http://127.0.0.1:${server.address().port}` })}\n`);
});
