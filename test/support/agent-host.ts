/**
 * Runs the real command in this process and does to its JavaScript what production gives nobody a way to do: keeps it
 * busy, lets an error escape, uses up V8's memory. Orders come by a socket that only the test knows.
 *
 * `node agent-host.js agent …`, with the socket's path in HOST_SOCKET.
 */
import { createServer } from 'node:net';
import process from 'node:process';

const orders: Readonly<Record<string, (argument: string) => void>> = {
  busy: (milliseconds) => {
    const end = performance.now() + Number(milliseconds);
    while (performance.now() < end);
  },
  throw: (message) => {
    throw new Error(message);
  },
  exhaust: () => {
    const kept: object[] = [];
    for (;;) kept.push(Array.from({ length: 1000 }, (_, index) => ({ index })));
  },
};

const server = createServer((socket) => {
  socket.setEncoding('utf8').once('data', (order: string) => {
    const [name = '', argument = ''] = order.trim().split(' ');
    // Written before the order is obeyed: libuv tries at once, and a while later nothing is written any more.
    socket.end(`${name}\n`);
    setImmediate(() => orders[name]?.(argument));
  });
});
server.listen(process.env['HOST_SOCKET']);

await import('../../src/cli/main.ts');
