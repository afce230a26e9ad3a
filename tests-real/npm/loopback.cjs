// Preload (`node --require`) for servers that bind every interface: whatever host they ask for,
// they listen on loopback only. The first listener's address goes to stdout as one JSON line,
// {"ready": "http://127.0.0.1:PORT"}, so that port 0 is usable; the server's own lines go to stderr.
'use strict';

const net = require('node:net');

globalThis.console = new console.Console(process.stderr);

const LOOPBACK = '127.0.0.1';
const listen = net.Server.prototype.listen;
let announced = false;

net.Server.prototype.listen = function listenOnLoopback(...given) {
  const callback = given.findLast((argument) => typeof argument === 'function');
  const first = given[0];
  const isObject = first !== null && typeof first === 'object';
  // Pipes and handles are no network listeners.
  if (isObject && first.port === undefined) return listen.apply(this, given);
  const port = Number(isObject ? first.port : first);
  this.once('listening', () => {
    if (announced) return;
    announced = true;
    process.stdout.write(`${JSON.stringify({ ready: `http://${LOOPBACK}:${this.address().port}` })}\n`);
  });
  return listen.call(this, { port, host: LOOPBACK }, callback);
};
