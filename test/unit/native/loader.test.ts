import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { errorCode } from '../../../src/config/errors.ts';
import type { EngineOptions, NativeEngine, NativeModule } from '../../../src/native/binding.ts';
import { EngineError } from '../../../src/native/errors.ts';
import { loadNative, wrapNative } from '../../../src/native/loader.ts';

/** An addon whose every call fails as napi's calls do: by a plain Error with a code. */
function brokenModule(): NativeModule {
  const failure = (code: string): Error => Object.assign(new Error(`text of ${code}`), { code });
  class Engine {
    readonly #uid = 'private state';
    enrol(): Promise<void> {
      return Promise.reject(failure('NETNS_NOT_FOUND'));
    }
    answer(): void {
      throw failure('ILLEGAL_STATE');
    }
    metricsText(): string {
      return this.#uid;
    }
  }
  return {
    Engine: Engine as unknown as NativeModule['Engine'],
    detach: () => {
      throw failure('INTERCEPT');
    },
  };
}

const options = {} as EngineOptions;

function newEngine(trace: string[] = []): NativeEngine {
  const { Engine } = wrapNative(brokenModule(), (call) => trace.push(call));
  return new Engine(options, () => undefined);
}

function isEngineError(code: string): (error: unknown) => boolean {
  return (error) => error instanceof EngineError && error.code === code && error.message.includes(`text of ${code}`);
}

suite('the native module', () => {
  test('that is not built is an error that says what to do', () => {
    assert.throws(
      () => loadNative('/nowhere/ambit.node'),
      (error: unknown) => errorCode(error) === 'ADDON_MISSING' && String(error).includes('make build'),
    );
  });

  test('that does not load is an error with its cause', (context) => {
    const folder = mkdtempSync(join(tmpdir(), 'ambit-addon-'));
    context.after(() => {
      rmSync(folder, { recursive: true });
    });
    const path = join(folder, 'ambit.node');
    writeFileSync(path, 'no shared object');
    assert.throws(
      () => loadNative(path),
      (error: unknown) => errorCode(error) === 'ADDON_UNUSABLE' && error instanceof Error && error.cause !== undefined,
    );
  });

  test('fails with errors of our own, from promises, calls and functions', async () => {
    const engine = newEngine();
    const flags = { handover: false, dnsCapture: false, bypassInbound: false };
    const spec = { uid: 'u', netns: '', addresses: [], identity: '', workload: '', probePorts: [], ...flags };
    await assert.rejects(engine.enrol(spec), isEngineError('NETNS_NOT_FOUND'));
    assert.throws(() => {
      engine.answer([]);
    }, isEngineError('ILLEGAL_STATE'));
    assert.throws(() => wrapNative(brokenModule(), null).detach('n', '', '', ''), isEngineError('INTERCEPT'));
  });

  test('keeps its own `this`, and calls are traced by name', () => {
    const trace: string[] = [];
    assert.equal(newEngine(trace).metricsText(), 'private state');
    assert.deepEqual(trace, ['new Engine', 'metricsText']);
  });
});
