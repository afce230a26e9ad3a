// npm @modelcontextprotocol/client (SDK 2.x) calls a tool and does what its person is asked to do.
//
//   node elicit.mjs --url URL [--token-env NAME] --era legacy|modern --call TOOL [--args JSON] [--timeout SECONDS]
//
// Says {asked: {mode, url, message}} for each address that is to be opened. In 2026-07-28 it answers at once with
// ELICIT_ANSWER (accept, decline or cancel) and lets the SDK come back; in 2025-11-25, where the call fails
// with what is required, it calls once more when a line arrives on standard input. Then it prints what client.mjs prints.

import { createInterface } from 'node:readline';
import { Client, StreamableHTTPClientTransport, UrlElicitationRequiredError } from '@modelcontextprotocol/client';
import { clientJob } from './arguments.mjs';
import { authorization, rememberingFetch, report } from './outcome.mjs';

const MODES = { legacy: 'legacy', modern: { pin: '2026-07-28' } };

function say({ mode, url, message }) {
  process.stdout.write(`${JSON.stringify({ asked: { mode, url, message } })}\n`);
}

function aLine() {
  return new Promise((resolve) => createInterface({ input: process.stdin }).once('line', resolve));
}

async function withPerson(call) {
  try {
    return await call();
  } catch (error) {
    if (!(error instanceof UrlElicitationRequiredError)) throw error;
    error.elicitations.forEach(say);
    await aLine();
    return call();
  }
}

await report(
  () => clientJob(process.argv.slice(2), Object.keys(MODES)),
  async (job, outcome, seen) => {
    const transport = new StreamableHTTPClientTransport(job.url, {
      requestInit: { headers: authorization(job.token) },
      fetch: rememberingFetch(seen),
    });
    const client = new Client(
      { name: 'tests-real-elicit', version: '1.0.0' },
      { capabilities: { elicitation: { url: {} } }, versionNegotiation: { mode: MODES[job.era] } },
    );
    client.setRequestHandler('elicitation/create', async (request) => {
      say(request.params);
      return { action: process.env.ELICIT_ANSWER ?? 'accept' };
    });
    await client.connect(transport);
    outcome.era = client.getNegotiatedProtocolVersion() ?? null;
    outcome.result = await withPerson(() =>
      client.callTool({ name: job.tool, arguments: job.toolArguments }),
    );
    await client.close();
  },
);
