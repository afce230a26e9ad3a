// npm clients through a list of steps, to compare two ways to one server.
//
//   node walk.mjs --sdk 1|2 --url URL [--token-env NAME] [--era legacy|auto|modern] --steps JSON
//                 [--timeout SECONDS]
//
// `--sdk 1` is @modelcontextprotocol/sdk 1.x (legacy only), `--sdk 2` @modelcontextprotocol/client 2.x.
// Steps and output are those of ../python/walk.py.

import { Client as Client2, StreamableHTTPClientTransport as Transport2 } from '@modelcontextprotocol/client';
import { Client as Client1 } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport as Transport1 } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { parseOptions } from './arguments.mjs';
import { authorization } from './outcome.mjs';

const MODES = { legacy: 'legacy', auto: 'auto', modern: { pin: '2026-07-28' } };
const job = parseOptions(process.argv.slice(2), {
  values: ['sdk', 'url', 'token-env', 'era', 'steps', 'timeout'],
});
const first = job.sdk === '1';
const token = job['token-env'] ? process.env[job['token-env']] : undefined;
const outcome = { ok: false, era: null, steps: [], error: null };

const transport = new (first ? Transport1 : Transport2)(new URL(job.url), {
  requestInit: { headers: authorization(token) },
});
const about = { name: 'tests-real-walk', version: '1.0.0' };
const client = first
  ? new Client1(about)
  : new Client2(about, { versionNegotiation: { mode: MODES[job.era ?? 'legacy'] } });

const call = (name, given, options) =>
  first
    ? client.callTool({ name, arguments: given }, undefined, options)
    : client.callTool({ name, arguments: given }, options);

const STEPS = {
  tools: () => client.listTools(),
  resources: () => client.listResources(),
  templates: () => client.listResourceTemplates(),
  prompts: () => client.listPrompts(),
  read: (uri) => client.readResource({ uri }),
  prompt: (name, given) => client.getPrompt({ name, arguments: given }),
  call,
  async progress(name, given) {
    const progress = [];
    const result = await call(name, given, { onprogress: (report) => progress.push(report.progress) });
    return { result, progress };
  },
  async cancel(name, given) {
    const stop = new AbortController();
    const running = call(name, given, { signal: stop.signal, onprogress: () => stop.abort() });
    return running.then(() => 'answered', () => (stop.signal.aborted ? 'cancelled' : 'failed'));
  },
};

async function walk() {
  await client.connect(transport);
  outcome.era = first ? transport.protocolVersion : client.getNegotiatedProtocolVersion();
  for (const [what, ...given] of JSON.parse(job.steps)) {
    try {
      outcome.steps.push(await STEPS[what](...given));
    } catch (error) {
      if (typeof error?.code !== 'number') throw error;
      outcome.steps.push({ error: error.code });
    }
  }
  if (transport.sessionId) await transport.terminateSession();
  await client.close();
}

const late = new Promise((_resolve, reject) => {
  setTimeout(() => reject(new Error('no outcome in time')), Number(job.timeout ?? 60) * 1000).unref();
});
try {
  await Promise.race([walk(), late]);
  outcome.ok = true;
} catch (error) {
  outcome.error = { message: String(error?.message ?? error), code: error?.code ?? null };
}
process.stdout.write(`${JSON.stringify(outcome)}\n`, () => process.exit(outcome.ok ? 0 : 1));
