// The Inspector's CLI that logs a person in by itself: it is told a URL and nothing else.
//
//   node inspector-login.mjs --url URL --callback-port PORT [--call TOOL [--args JSON]] [--era legacy|auto|modern]
//                            [--metadata-url URL]
//
// Prints {"open": URL} when the Inspector asks for a browser, and at the end {ok, era, result, error}. Its home is
// a temporary folder, which holds the tokens that it keeps and goes with this program.

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseOptions } from './arguments.mjs';

const LAUNCHER = fileURLToPath(
  new URL('./node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js', import.meta.url),
);
const options = parseOptions(process.argv.slice(2), {
  values: ['url', 'callback-port', 'call', 'args', 'era', 'metadata-url'],
});
const home = mkdtempSync(join(tmpdir(), 'inspector-'));
process.once('exit', () => rmSync(home, { recursive: true, force: true }));
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

const method = options.call
  ? ['tools/call', '--tool-name', options.call, '--tool-args-json', options.args ?? '{}']
  : ['tools/list'];
const given = [
  '--cli', '--server-url', options.url, '--transport', 'http', '--format', 'json', '--quiet',
  '--protocol-era', options.era ?? 'legacy', '--connect-timeout', '60000',
  '--callback-url', `http://127.0.0.1:${options['callback-port']}/oauth/callback`, '--method', ...method,
];
if (options['metadata-url']) given.push('--client-metadata-url', options['metadata-url']);
// `true` in place of a browser: somebody else opens what it asks for.
const environment = {
  PATH: process.env.PATH, HOME: home, TMPDIR: home, NO_COLOR: '1', MCP_AUTO_OPEN_ENABLED: 'true', BROWSER: 'true',
  ...(process.env.NODE_EXTRA_CA_CERTS ? { NODE_EXTRA_CA_CERTS: process.env.NODE_EXTRA_CA_CERTS } : {}),
};
const child = spawn(process.execPath, [LAUNCHER, ...given], { env: environment, stdio: ['ignore', 'pipe', 'pipe'] });
process.once('exit', () => child.kill('SIGKILL'));

let printed = '';
let complaints = '';
let asked = 0;
child.stdout.setEncoding('utf8').on('data', (text) => {
  printed += text;
});
child.stderr.setEncoding('utf8').on('data', (text) => {
  complaints += text;
  const lines = complaints.split('\n').slice(0, -1);
  for (const line of lines.slice(asked)) {
    const url = line.match(/navigate to: (\S+)/)?.[1];
    if (url) say({ open: url });
  }
  asked = lines.length;
});
child.once('close', (exitCode) => {
  const outcome = { ok: exitCode === 0, era: options.era ?? 'legacy', result: null, error: null };
  try {
    const parsed = JSON.parse(printed);
    outcome.result = parsed.result ?? parsed;
  } catch {
    outcome.error = { message: complaints.trim().slice(-600), code: `exit_${exitCode}` };
  }
  say(outcome);
  process.exit(outcome.ok ? 0 : 1);
});
