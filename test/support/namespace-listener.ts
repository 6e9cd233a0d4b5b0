import { fork } from 'node:child_process';
import { Server } from 'node:net';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

const helper = fileURLToPath(new URL('fixtures/listen.js', import.meta.url));

/**
 * A server of this process on localhost of another network namespace: a socket stays in the one that it was made in.
 *
 * @throws Error when the helper that makes the socket ends without it
 */
export function listenIn(netns: string, port: number): Promise<Server> {
  const child = fork(helper, [String(port)], {
    execPath: 'nsenter',
    execArgv: [`--net=/run/netns/${netns}`, '--', process.execPath],
  });
  return new Promise((resolve, reject) => {
    child.once('message', (_message, handle) => {
      if (handle instanceof Server) resolve(handle);
      else reject(new Error('the helper has sent no server'));
    });
    child.once('error', reject);
    child.once('exit', (code) => {
      reject(new Error(`no socket in ${netns}: the helper ended with ${String(code)}`));
    });
  });
}
