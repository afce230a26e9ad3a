// Command-line options of the programs in this folder: `--name value`, or `--name` for a switch.

/**
 * Reads options, refusing any that the program does not know.
 * @param {string[]} argv the arguments without the interpreter and the program
 * @param {{ values: string[], switches?: string[] }} known the names it accepts
 * @returns {Record<string, string | true>} what was given
 */
export function parseOptions(argv, { values, switches = [] }) {
  const given = {};
  for (let index = 0; index < argv.length; index += 1) {
    const name = argv[index].replace(/^--/, '');
    if (!argv[index].startsWith('--')) throw new Error(`unexpected argument ${argv[index]}`);
    if (switches.includes(name)) {
      given[name] = true;
    } else if (values.includes(name)) {
      index += 1;
      if (index >= argv.length) throw new Error(`--${name} needs a value`);
      given[name] = argv[index];
    } else {
      throw new Error(`unknown option --${name}`);
    }
  }
  return given;
}

/** Options that every client program takes; each one's head says what they mean. */
export const CLIENT_OPTIONS = {
  values: ['url', 'command', 'token-env', 'era', 'call', 'args', 'timeout'],
  switches: ['list', 'whole'],
};

/**
 * The client's job, checked: where to go, with which token, in which protocol era, to do what.
 * The token comes from the environment, because process arguments are world-readable.
 */
export function clientJob(argv, eras) {
  const given = parseOptions(argv, CLIENT_OPTIONS);
  if (!given.url && !given.command) throw new Error('--url is needed');
  const era = given.era ?? eras[0];
  if (!eras.includes(era)) throw new Error(`--era is one of ${eras.join(', ')}`);
  let token;
  if (given['token-env']) {
    token = process.env[given['token-env']];
    if (!token) throw new Error(`environment variable ${given['token-env']} is not set`);
  }
  return {
    url: given.url && new URL(given.url),
    command: given.command && JSON.parse(given.command),
    token,
    era,
    tool: given.call,
    toolArguments: JSON.parse(given.args ?? '{}'),
    list: given.list === true || !given.call,
    whole: given.whole === true,
    timeoutMs: Number(given.timeout ?? 30) * 1000,
  };
}
