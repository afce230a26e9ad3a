// Runs the Inspector's CLI for inspector.sh, whose usage text says what it takes and prints.
//
// The token travels in a session file of mode 0600 in a temporary home, because the CLI's own
// `--header` would put it among the world-readable process arguments. The temporary home also
// keeps the Inspector from reading or writing the user's own.

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { clientJob } from './arguments.mjs';
import { authorization, listed, report } from './outcome.mjs';

const LAUNCHER = fileURLToPath(
  new URL('./node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js', import.meta.url),
);
const ERAS = ['legacy', 'auto', 'modern'];
const SERVER = 'under-test';

function sessionFile(home, job) {
  const file = join(home, 'session.json');
  const [command, ...args] = job.command ?? [];
  const place = job.command
    ? { type: 'stdio', command, args, env: process.env }
    : { type: 'streamable-http', url: job.url.href, headers: authorization(job.token) };
  const server = { ...place, protocolEra: job.era };
  writeFileSync(file, JSON.stringify({ mcpServers: { [SERVER]: server } }), { mode: 0o600 });
  return file;
}

/** One run of the CLI; resolves to its exit code and both outputs. */
function inspect(home, file, job, method) {
  const given = ['--cli', '--config', file, '--server', SERVER, '--format', 'json', '--quiet', '--stored-auth-only'];
  given.push('--connect-timeout', String(job.timeoutMs), '--method', ...method);
  const environment = { PATH: process.env.PATH, HOME: home, NO_COLOR: '1' };
  const child = spawn(process.execPath, [LAUNCHER, ...given], { env: environment, stdio: ['ignore', 'pipe', 'pipe'] });
  const output = { stdout: '', stderr: '' };
  for (const stream of ['stdout', 'stderr']) {
    child[stream].setEncoding('utf8').on('data', (text) => {
      output[stream] += text;
    });
  }
  process.once('exit', () => child.kill('SIGKILL'));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (exitCode) => resolve({ exitCode, ...output }));
  });
}

/** The result the CLI printed, or an error from its envelope on stderr. */
function resultOf({ exitCode, stdout, stderr }) {
  // 5: the tool itself reported a failure; the result is there and says so.
  if ((exitCode === 0 || exitCode === 5) && stdout.trim()) {
    const printed = JSON.parse(stdout);
    return printed.result ?? printed;
  }
  const line = stderr.trim().split('\n').findLast((candidate) => candidate.startsWith('{'));
  const envelope = line ? JSON.parse(line) : {};
  const error = new Error(envelope.error?.message ?? envelope.message ?? stderr.trim());
  error.code = envelope.error?.code ?? envelope.code ?? `exit_${exitCode}`;
  error.status = envelope.error?.status ?? envelope.status;
  throw error;
}

await report(
  () => clientJob(process.argv.slice(2), ERAS),
  async (job, outcome) => {
    const home = mkdtempSync(join(tmpdir(), 'inspector-'));
    process.once('exit', () => rmSync(home, { recursive: true, force: true }));
    const file = sessionFile(home, job);
    outcome.era = job.era;
    if (job.list) {
      outcome.tools = listed(job, resultOf(await inspect(home, file, job, ['tools/list'])).tools);
    }
    if (job.tool) {
      const call = ['tools/call', '--tool-name', job.tool, '--tool-args-json', JSON.stringify(job.toolArguments)];
      outcome.result = resultOf(await inspect(home, file, job, call));
    }
  },
);
