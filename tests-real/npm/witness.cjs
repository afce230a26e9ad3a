// Preload (`node --require`) for a server that is a process: writes down what it was started with,
// as the log that a server of this kind does not have itself.
//
//   WITNESS_LOG=FILE WITNESS_VARIABLE=NAME   node --require witness.cjs SERVER
//
// One line for each start: {pid, sha256} with the lower-case hex SHA-256 of the variable's value, null
// where it is absent. Nothing goes to stdout, which belongs to the protocol.
'use strict';

const { createHash } = require('node:crypto');
const { appendFileSync } = require('node:fs');

const value = process.env[process.env.WITNESS_VARIABLE];
const sha256 = value === undefined ? null : createHash('sha256').update(value).digest('hex');
appendFileSync(process.env.WITNESS_LOG, `${JSON.stringify({ pid: process.pid, sha256 })}\n`, { mode: 0o600 });
