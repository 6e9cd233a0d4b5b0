/**
 * Runs in a network namespace: joins connections to a socket of the file system, which every namespace reaches, with a port
 * of its loopback. `node namespace-door.js SOCKET PORT`
 */

import { connect, createServer } from 'node:net';
import process from 'node:process';

const [path = '', port = ''] = process.argv.slice(2);

createServer({ allowHalfOpen: true }, (outside) => {
  const inside = connect({ port: Number(port), host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
  for (const [from, to] of [
    [outside, inside],
    [inside, outside],
  ] as const) {
    from.on('error', () => to.destroy());
    from.on('close', () => to.destroy());
    from.pipe(to);
  }
}).listen(path);
