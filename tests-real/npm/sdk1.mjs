// npm @modelcontextprotocol/sdk (the 1.x line, most of the installed base) as a command-line client.
//
//   node sdk1.mjs --url URL [--token-env NAME] [--era legacy]
//                 [--list [--whole]] [--call TOOL [--args JSON]] [--timeout SECONDS]
//
// Prints {ok, era, tools, result, error: {message, code, status}, caller_token_echoed}.

import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { clientJob } from './arguments.mjs';
import { authorization, listed, rememberingFetch, report } from './outcome.mjs';

await report(
  () => clientJob(process.argv.slice(2), ['legacy']),
  async (job, outcome, seen) => {
    const transport = new StreamableHTTPClientTransport(job.url, {
      requestInit: { headers: authorization(job.token) },
      fetch: rememberingFetch(seen),
    });
    const client = new Client({ name: 'tests-real-sdk1', version: '1.0.0' });
    await client.connect(transport);
    outcome.era = transport.protocolVersion ?? null;
    if (job.list) outcome.tools = listed(job, (await client.listTools()).tools);
    if (job.tool) {
      outcome.result = await client.callTool({ name: job.tool, arguments: job.toolArguments });
    }
    if (transport.sessionId) await transport.terminateSession();
    await client.close();
  },
);
