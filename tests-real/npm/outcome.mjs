// The one JSON object that every client program prints, and the run that leads to it.

/** A fetch that remembers the last HTTP status that was an error, for the report. */
export function rememberingFetch(seen) {
  return async (input, init) => {
    const response = await fetch(input, init);
    if (response.status >= 400) seen.status = response.status;
    return response;
  };
}

/** What a list of tools is reported as: their names, or with --whole everything said about them. */
export function listed(job, tools) {
  return job.whole ? tools : tools.map((tool) => tool.name);
}

/** Request headers that carry the caller's token, if there is one. */
export function authorization(token) {
  return token ? { Authorization: `Bearer ${token}` } : {};
}

/**
 * Runs a client's job, prints its outcome and ends the process: 0 when everything asked for
 * worked and the tool did not report a failure, 1 otherwise.
 * @param {(outcome: object, seen: object) => Promise<void>} job fills the outcome
 * @param {() => object} settings parses the arguments; its `token` never reaches the output
 */
export async function report(settings, job) {
  const outcome = { ok: false, era: null, tools: null, result: null, error: null };
  const seen = { status: null };
  let token;
  try {
    const parsed = settings();
    token = parsed.token;
    await withDeadline(job(parsed, outcome, seen), parsed.timeoutMs);
    if (outcome.result?.isError) {
      outcome.error = { message: firstText(outcome.result), code: 'tool_error', status: null };
    }
    outcome.ok = outcome.error === null;
  } catch (error) {
    outcome.error = describe(error, seen);
  }
  print(outcome, token);
  process.exit(outcome.ok ? 0 : 1);
}

function withDeadline(work, milliseconds) {
  let timer;
  const late = new Promise((_resolve, reject) => {
    const error = Object.assign(new Error(`no outcome within ${milliseconds} ms`), { code: 'deadline' });
    timer = setTimeout(() => reject(error), milliseconds);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}

function firstText(result) {
  return result.content?.find((block) => block.type === 'text')?.text ?? 'the tool reported a failure';
}

function describe(error, seen) {
  const cause = error?.cause?.message ? ` (${error.cause.message})` : '';
  return {
    message: `${error?.message ?? error}${cause}`,
    code: error?.code ?? error?.name ?? null,
    status: error?.status ?? seen.status,
  };
}

// The object says *whether* the server sent the caller's own token back, never the token.
function print(outcome, token) {
  const text = JSON.stringify(outcome);
  const echoed = Boolean(token) && text.includes(token);
  const clean = echoed ? text.replaceAll(token, '[caller token]') : text;
  process.stdout.write(`${JSON.stringify({ ...JSON.parse(clean), caller_token_echoed: echoed })}\n`);
}
