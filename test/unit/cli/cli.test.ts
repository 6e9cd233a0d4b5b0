import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const binary = fileURLToPath(new URL('../../../../bin/ambit', import.meta.url));

interface Outcome {
  readonly status: number | null;
  readonly output: string;
  readonly errors: string;
}

/** The real command, in a process of its own, with no AMBIT_ variable but those given. */
function run(words: readonly string[], variables: Readonly<Record<string, string>> = {}): Promise<Outcome> {
  const env = { PATH: process.env['PATH'], ...variables };
  return new Promise((resolve) => {
    const child = execFile(binary, words, { env, timeout: 30_000 }, (_error, output, errors) => {
      resolve({ status: child.exitCode, output, errors });
    });
  });
}

suite('the ambit command', () => {
  test('prints its version', async () => {
    const { status, output } = await run(['version']);
    assert.equal(status, 0);
    assert.match(output, /^ambit \d+\.\d+\.\d+ /);
  });

  test('has help for itself and each command, with the exit status', async () => {
    for (const words of [[], ['agent'], ['ca', 'init'], ['detach']]) {
      const { status, output } = await run([...words, '--help']);
      assert.equal(status, 0);
      assert.match(output, /Exit status:/, words.join(' '));
      assert.match(output, words.length === 0 ? /Commands:/ : /Examples:/);
    }
  });

  test('tells all wrong settings at once, from flags and environment', async () => {
    const { status, errors } = await run(['agent', '--threads', '9'], { AMBIT_LOG_LEVEL: 'loud' });
    assert.equal(status, 2);
    for (const part of ['--node', '--manifests', '--threads', 'AMBIT_LOG_LEVEL'])
      assert.ok(errors.includes(part), part);
  });

  test('refuses commands and flags that do not exist', async () => {
    assert.equal((await run(['attach'])).status, 2);
    assert.equal((await run(['agent', '--nodes', 'x'])).status, 2);
  });

  test('detach asks for a node that is a name', async () => {
    const { status, errors } = await run(['detach', '--node', '../x']);
    assert.equal(status, 2);
    assert.match(errors, /--node is not a node name/);
  });

  test('detach asks for a path of the node’s /proc', async () => {
    const { status, errors } = await run(['detach', '--node', 'one', '--host-proc', 'host/proc']);
    assert.equal(status, 2);
    assert.match(errors, /--host-proc is not/);
  });

  test('makes a CA folder once', async (context) => {
    const folder = mkdtempSync(join(tmpdir(), 'ambit-cli-'));
    context.after(() => {
      rmSync(folder, { recursive: true });
    });
    const ca = join(folder, 'ca');
    assert.equal((await run(['ca', 'init', ca])).status, 0);
    assert.ok(existsSync(ca));
    const second = await run(['ca', 'init', ca]);
    assert.equal(second.status, 2);
    assert.match(second.errors, /CA_EXISTS/);
  });
});
