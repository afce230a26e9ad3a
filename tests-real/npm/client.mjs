// npm @modelcontextprotocol/client (SDK 2.x) as a command-line client.
//
//   node client.mjs --url URL [--token-env NAME] [--era default|legacy|auto|modern]
//                   [--list [--whole]] [--call TOOL [--args JSON]] [--timeout SECONDS]
//
// `default` is the client as it comes. Prints {ok, era, tools, result, error: {message, code, status}, caller_token_echoed}.

import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { clientJob } from './arguments.mjs';
import { authorization, listed, rememberingFetch, report } from './outcome.mjs';

const MODES = { legacy: 'legacy', auto: 'auto', modern: { pin: '2026-07-28' }, default: undefined };

await report(
  () => clientJob(process.argv.slice(2), Object.keys(MODES)),
  async (job, outcome, seen) => {
    const transport = new StreamableHTTPClientTransport(job.url, {
      requestInit: { headers: authorization(job.token) },
      fetch: rememberingFetch(seen),
    });
    const client = new Client(
      { name: 'tests-real-client', version: '1.0.0' },
      job.era === 'default' ? {} : { versionNegotiation: { mode: MODES[job.era] } },
    );
    await client.connect(transport);
    outcome.era = client.getNegotiatedProtocolVersion() ?? null;
    if (job.list) outcome.tools = listed(job, (await client.listTools()).tools);
    if (job.tool) {
      outcome.result = await client.callTool({ name: job.tool, arguments: job.toolArguments });
    }
    if (transport.sessionId) await transport.terminateSession();
    await client.close();
  },
);
