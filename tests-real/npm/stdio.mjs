// npm @modelcontextprotocol/client (SDK 2.x) or, with --sdk1, @modelcontextprotocol/sdk (the 1.x line), that knows
// stdio alone: it is given a program to start, and no URL, no token.
//
//   node stdio.mjs --command JSON [--sdk1] [--era default|legacy|auto|modern] [--calls JSON] [--rounds N] [--timeout SECONDS]
//
// Does and prints what stdio.py does and prints.

import { createInterface } from 'node:readline';
import { parseOptions } from './arguments.mjs';

const options = parseOptions(process.argv.slice(2), {
  values: ['command', 'era', 'calls', 'rounds', 'timeout'],
  switches: ['sdk1'],
});
const MODES = { legacy: 'legacy', auto: 'auto', modern: { pin: '2026-07-28' } };
const [command, ...args] = JSON.parse(options.command);
const calls = JSON.parse(options.calls ?? '[["whoami", {}]]');
const era = options.era ?? 'default';
const outcome = { ok: false, era: null, tools: null, results: [], progress: 0, asked: [], error: null };
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
const about = { name: 'tests-real-stdio', version: '1.0.0' };
const program = { command, args, env: process.env, stderr: 'inherit' };

async function connected() {
  if (options.sdk1) {
    const { Client } = await import('@modelcontextprotocol/sdk/client/index.js');
    const { StdioClientTransport } = await import('@modelcontextprotocol/sdk/client/stdio.js');
    const client = new Client(about);
    const transport = new StdioClientTransport(program);
    await client.connect(transport);
    outcome.era = 'sdk1';
    return client;
  }
  const { Client } = await import('@modelcontextprotocol/client');
  const { StdioClientTransport } = await import('@modelcontextprotocol/client/stdio');
  const client = new Client(about, era === 'default' ? {} : { versionNegotiation: { mode: MODES[era] } });
  await client.connect(new StdioClientTransport(program));
  outcome.era = client.getNegotiatedProtocolVersion() ?? null;
  return client;
}

async function call(client, [name, toolArguments]) {
  const listening = { onprogress: () => { outcome.progress += 1; } };
  const parameters = { name, arguments: toolArguments };
  return options.sdk1 ? client.callTool(parameters, undefined, listening) : client.callTool(parameters, listening);
}

async function act() {
  const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  const client = await connected();
  for (let round = 0; round < Number(options.rounds ?? 1); round += 1) {
    if (round > 0) {
      say({ round });
      await lines.next();
    }
    outcome.tools = (await client.listTools()).tools.map((tool) => tool.name);
    outcome.results.push(...(await Promise.all(calls.map((one) => call(client, one)))));
  }
  await client.close();
}

const late = new Promise((_resolve, reject) => {
  setTimeout(() => reject(new Error('no outcome in time')), Number(options.timeout ?? 60) * 1000).unref();
});
try {
  await Promise.race([act(), late]);
  outcome.ok = !outcome.results.some((result) => result.isError);
} catch (error) {
  outcome.error = { message: error.message, code: error.code ?? error.name, data: error.data ?? null };
}
say(outcome);
process.exit(outcome.ok ? 0 : 1);
