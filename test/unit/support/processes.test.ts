import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { exec, start } from '../../support/processes.ts';
import { waitFor } from '../../support/wait.ts';

describe('processes', () => {
  it('give their output and take input', async () => {
    const { stdout } = await exec(['cat'], { input: 'text' });
    assert.equal(stdout, 'text');
  });

  it('fail with what they wrote', async () => {
    await assert.rejects(exec(['sh', '-c', 'echo wrong >&2; exit 3']), /ended with 3\nwrong/);
  });

  it('are killed when their time is over', async () => {
    await assert.rejects(exec(['sleep', '60'], { timeout: 50 }), /was killed by SIGKILL/);
  });

  it('are read line by line while they run', async () => {
    const running = start(['sh', '-c', 'echo one; echo two; read answer; echo "$answer"']);
    assert.equal(await running.line((line) => line.startsWith('two')), 'two');
    running.write('three\n');
    assert.equal(await running.line((line) => line === 'three'), 'three');
    assert.equal((await running.ended).code, 0);
  });

  it('say so when the line never comes', async () => {
    const running = start(['sh', '-c', 'echo why >&2; exit 1']);
    await assert.rejects(
      running.line(() => false),
      /ended with 1\nwhy/,
    );
  });
});

describe('waiting', () => {
  it('gives the first true value, over failures', async () => {
    let looks = 0;
    const value = await waitFor(
      () => {
        looks += 1;
        if (looks === 1) throw new Error('not yet');
        return looks === 3 ? 'there' : null;
      },
      { interval: 1 },
    );
    assert.equal(value, 'there');
  });

  it('ends with the last failure', async () => {
    const never = waitFor(() => Promise.reject(new Error('still down')), { timeout: 20, interval: 1, what: 'it' });
    await assert.rejects(never, /it did not come true within 20 ms; last seen: still down/);
  });
});
