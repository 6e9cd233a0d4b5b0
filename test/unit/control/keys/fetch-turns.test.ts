import assert from 'node:assert/strict';
import { setImmediate } from 'node:timers/promises';
import { describe, test } from 'node:test';

import { FetchTurns } from '../../../../src/control/keys/fetch-turns.ts';

/** Tasks that run until they are ended. */
class Tasks {
  readonly running: string[] = [];
  readonly #ends = new Map<string, () => void>();

  start(turns: FetchTurns, namespace: string, name: string, signal = new AbortController().signal): Promise<void> {
    return turns.run(namespace, signal, async () => {
      this.running.push(name);
      await new Promise<void>((resolve) => this.#ends.set(name, resolve));
    });
  }

  async end(name: string): Promise<void> {
    this.#ends.get(name)?.();
    await setImmediate();
  }
}

void describe('turns of fetches', () => {
  test('are so many at once, and so many of one namespace', async () => {
    const turns = new FetchTurns(3, 2);
    const tasks = new Tasks();
    for (const name of ['a1', 'a2', 'a3', 'b1', 'c1']) void tasks.start(turns, name.slice(0, 1), name);
    await setImmediate();
    assert.deepEqual(tasks.running, ['a1', 'a2', 'b1']);
    await tasks.end('b1');
    assert.deepEqual(tasks.running.slice(3), ['c1']);
    await tasks.end('a1');
    assert.deepEqual(tasks.running.slice(4), ['a3']);
  });

  test('go on where a task fails', async () => {
    const turns = new FetchTurns(1, 1);
    const { signal } = new AbortController();
    const failing = turns.run('a', signal, () => Promise.reject(new Error('no')));
    const next = turns.run('b', signal, () => Promise.resolve('yes'));
    await assert.rejects(failing, /no/);
    assert.equal(await next, 'yes');
  });

  test('are given up by those who no longer want them', async () => {
    const turns = new FetchTurns(1, 1);
    const tasks = new Tasks();
    const stop = new AbortController();
    void tasks.start(turns, 'a', 'a1');
    const waiting = tasks.start(turns, 'b', 'b1', stop.signal);
    void tasks.start(turns, 'c', 'c1');
    stop.abort(new Error('gone'));
    await assert.rejects(waiting, /gone/);
    await tasks.end('a1');
    assert.deepEqual(tasks.running, ['a1', 'c1']);
  });
});
