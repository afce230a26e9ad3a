// npm @modelcontextprotocol/client (SDK 2.x) that logs a person in by itself: it is told a URL and nothing else.
//
//   node login.mjs --url URL [--metadata-url URL] [--era default|auto|legacy|modern] [--call TOOL [--args JSON]]
//                  [--again] [--timeout SECONDS]
//
// Prints {"open": URL} when it wants a browser to go there, and at the end
// {ok, era, tools, result, error, registered}: `registered` is how it became a client. With --again it calls once
// more over a new connection, with the tokens that it has. Tokens stay in memory and never reach the output.

import { createServer } from 'node:http';
import { Client, StreamableHTTPClientTransport, UnauthorizedError } from '@modelcontextprotocol/client';
import { parseOptions } from './arguments.mjs';

const MODES = { legacy: 'legacy', auto: 'auto', modern: { pin: '2026-07-28' }, default: undefined };

const options = parseOptions(process.argv.slice(2), {
  values: ['url', 'metadata-url', 'era', 'call', 'args', 'timeout'],
  switches: ['again'],
});
const era = options.era ?? 'default';
const outcome = { ok: false, era: null, tools: null, result: null, error: null, registered: null };
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

/** The application's own listener for the way back. */
async function callback() {
  let arrived;
  const parameters = new Promise((resolve) => {
    arrived = resolve;
  });
  const server = createServer((request, response) => {
    const url = new URL(request.url, 'http://127.0.0.1');
    response.end('<title>done</title>You may close this page.');
    if (url.pathname === '/callback') arrived(url.searchParams);
  });
  await new Promise((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  return { url: `http://127.0.0.1:${server.address().port}/callback`, parameters, server };
}

/** All that the application remembers, in memory. */
class Memory {
  constructor(redirectUrl) {
    this.redirectUrl = redirectUrl;
    this.clientMetadataUrl = options['metadata-url'];
    this.wanted = crypto.randomUUID();
  }

  get clientMetadata() {
    return {
      client_name: 'tests-real-login',
      redirect_uris: [this.redirectUrl],
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      token_endpoint_auth_method: 'none',
      application_type: 'native',
    };
  }

  state() {
    return this.wanted;
  }

  clientInformation() {
    return this.client;
  }

  saveClientInformation(client) {
    this.client = client;
    outcome.registered = client.client_id === this.clientMetadataUrl ? 'metadata document' : 'dynamically';
  }

  tokens() {
    return this.held;
  }

  saveTokens(tokens) {
    this.held = tokens;
  }

  redirectToAuthorization(url) {
    say({ open: url.href });
  }

  saveCodeVerifier(verifier) {
    this.verifier = verifier;
  }

  codeVerifier() {
    return this.verifier;
  }

  discoveryState() {
    return this.discovered;
  }

  saveDiscoveryState(state) {
    this.discovered = state;
  }
}

const back = await callback();
const memory = new Memory(back.url);
const transportFor = () => new StreamableHTTPClientTransport(new URL(options.url), { authProvider: memory });

async function connected(transport) {
  const client = new Client(
    { name: 'tests-real-login', version: '1.0.0' },
    era === 'default' ? {} : { versionNegotiation: { mode: MODES[era] } },
  );
  await client.connect(transport);
  return client;
}

async function connect() {
  const first = transportFor();
  try {
    return await connected(first);
  } catch (error) {
    if (!(error instanceof UnauthorizedError)) throw error;
    const parameters = await back.parameters;
    if (parameters.get('state') !== memory.wanted) throw new Error('another state came back');
    if (parameters.get('error')) throw new Error(`${parameters.get('error')}: ${parameters.get('error_description') ?? ''}`);
    await first.finishAuth(parameters);
    return connected(transportFor());
  }
}

async function act() {
  for (let round = 0; round < (options.again ? 2 : 1); round += 1) {
    const client = await connect();
    outcome.era = client.getNegotiatedProtocolVersion() ?? null;
    outcome.tools = (await client.listTools()).tools.map((tool) => tool.name);
    if (options.call) outcome.result = await client.callTool({ name: options.call, arguments: JSON.parse(options.args ?? '{}') });
    await client.close();
  }
}

const late = new Promise((_resolve, reject) => {
  setTimeout(() => reject(new Error('no outcome in time')), Number(options.timeout ?? 60) * 1000).unref();
});
try {
  await Promise.race([act(), late]);
  outcome.ok = outcome.result?.isError !== true;
} catch (error) {
  outcome.error = { message: `${error.message}${error.cause ? ` (${error.cause.message})` : ''}`, code: error.code ?? error.name };
}
say(outcome);
process.exit(outcome.ok ? 0 : 1);
