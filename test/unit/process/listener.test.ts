import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { get } from 'node:http';
import type { RequestListener } from 'node:http';
import { connect } from 'node:net';
import type { Server, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import type { TestContext } from 'node:test';
import { Listener } from '../../../src/process/listener.ts';
import type { Place } from '../../../src/process/listener.ts';
import { recordingLogger } from '../../support/loggers.ts';
import type { LogRecord } from '../../support/loggers.ts';
import { ManualTimers, settled } from '../../support/manual-timers.ts';

interface Rig {
  readonly listener: Listener;
  readonly timers: ManualTimers;
  readonly records: readonly LogRecord[];
}

function newListener(context: TestContext, place: Place, name: string, handler?: RequestListener): Rig {
  const { logger, records } = recordingLogger();
  const timers = new ManualTimers();
  const listener = new Listener({
    name,
    place,
    logger,
    timers,
    random: () => 0.5,
    handler: handler ?? ((_request, response) => response.end(name)),
  });
  context.after(() => listener.stop());
  return { listener, timers, records };
}

function newFolder(context: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'ambit-listener-'));
  context.after(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  return folder;
}

function fetchText(
  options: { readonly port: number; readonly localAddress?: string } | { readonly socketPath: string },
): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = get({ host: '127.0.0.1', agent: false, ...options }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (part: string) => (text += part));
      response.on('end', () => {
        resolve(text);
      });
    });
    request.on('error', reject);
  });
}

/** Until it waits for its next attempt. */
async function untilWaiting({ timers }: Rig): Promise<void> {
  while (timers.waits.length === 0) await settled();
}

/** Has it try again. */
async function failedAttempt(rig: Rig): Promise<void> {
  await untilWaiting(rig);
  rig.timers.advance(1000);
}

const anyPort: Place = { kind: 'port', host: '127.0.0.1', port: 0 };

suite('a listener', () => {
  test('serves at its port', async (context) => {
    const { listener } = newListener(context, anyPort, 'one');
    listener.start();
    const port = await listener.bound;
    assert.ok(port !== null);
    assert.equal(await fetchText({ port }), 'one');
  });

  test('takes over a port when its holder lets go, and says once that it waits', async (context) => {
    const first = newListener(context, anyPort, 'one');
    first.listener.start();
    const port = await first.listener.bound;
    assert.ok(port !== null);
    const second = newListener(context, { ...anyPort, port }, 'two');
    second.listener.start();
    for (let attempt = 0; attempt < 3; attempt++) await failedAttempt(second);
    await untilWaiting(second);
    assert.equal(await fetchText({ port }), 'one');
    await first.listener.stop();
    second.timers.advance(1000);
    assert.equal(await second.listener.bound, port);
    assert.equal(await fetchText({ port }), 'two');
    assert.equal(second.records.filter(({ message }) => message.includes('waits for its port')).length, 1);
  });

  test('goes on listening after an accept that failed', async (context) => {
    const rig = newListener(context, anyPort, 'one', (request, response) => {
      // Node tells a failed accept (EMFILE, EPERM) by this event of the listening server.
      const { server } = request.socket as Socket & { readonly server: Server };
      server.emit('error', Object.assign(new Error('accept EMFILE'), { code: 'EMFILE' }));
      response.end('one');
    });
    rig.listener.start();
    const port = await rig.listener.bound;
    assert.ok(port !== null);
    assert.equal(await fetchText({ port }), 'one');
    await failedAttempt(rig);
    assert.equal(await fetchText({ port }), 'one');
  });

  test('serves others while one source holds as many connections as it gets', async (context) => {
    const { listener } = newListener(context, anyPort, 'one');
    listener.start();
    const port = await listener.bound;
    assert.ok(port !== null);
    const sockets = Array.from({ length: 80 }, () => connect({ host: '127.0.0.1', port, localAddress: '127.0.0.2' }));
    context.after(() => {
      for (const socket of sockets) socket.destroy();
    });
    let closed = 0;
    const refused = new Promise<void>((resolve) => {
      for (const socket of sockets) {
        socket.on('error', () => undefined);
        socket.on('close', () => {
          closed++;
          if (closed === 64) resolve();
        });
      }
    });
    await refused;
    assert.equal(await fetchText({ port, localAddress: '127.0.0.3' }), 'one');
  });

  test('takes a source in again when its connections have ended', async (context) => {
    const { listener } = newListener(context, anyPort, 'one');
    listener.start();
    const port = await listener.bound;
    assert.ok(port !== null);
    for (let round = 0; round < 40; round++) assert.equal(await fetchText({ port }), 'one');
  });

  test('gives up waiting when it is stopped', async (context) => {
    const first = newListener(context, anyPort, 'one');
    first.listener.start();
    const port = await first.listener.bound;
    assert.ok(port !== null);
    const second = newListener(context, { ...anyPort, port }, 'two');
    second.listener.start();
    await untilWaiting(second);
    await second.listener.stop();
    await first.listener.stop();
    second.timers.advance(1000);
    await settled();
    await assert.rejects(fetchText({ port }), /ECONNREFUSED/);
  });

  test('takes the place of a former agent’s socket at once, which leaves it alone then', async (context) => {
    const place: Place = { kind: 'socket', path: join(newFolder(context), 'ready.sock') };
    const first = newListener(context, place, 'one');
    first.listener.start();
    await first.listener.bound;
    const second = newListener(context, place, 'two');
    second.listener.start();
    await second.listener.bound;
    assert.equal(await fetchText({ socketPath: place.path }), 'two');
    await first.listener.stop();
    assert.equal(await fetchText({ socketPath: place.path }), 'two');
  });

  test('leaves no socket behind', async (context) => {
    const place: Place = { kind: 'socket', path: join(newFolder(context), 'ready.sock') };
    const { listener } = newListener(context, place, 'one');
    listener.start();
    await listener.bound;
    await listener.stop();
    assert.equal(existsSync(place.path), false);
  });
});
