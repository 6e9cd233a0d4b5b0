import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { suite, test } from 'node:test';
import { EXIT, exitCodeOf } from '../../../src/agent/exit-codes.ts';
import { aborted, Lifecycle } from '../../../src/process/lifecycle.ts';
import { AmbitError } from '../../../src/config/errors.ts';
import { EngineError } from '../../../src/native/errors.ts';
import { recordingLogger } from '../../support/loggers.ts';

function newLifecycle() {
  const events = new EventEmitter();
  const faults: unknown[] = [];
  const { logger, records } = recordingLogger();
  const lifecycle = new Lifecycle({ events, logger, onFault: (error) => faults.push(error) });
  lifecycle.install();
  return { events, faults, records, lifecycle };
}

suite('lifecycle', () => {
  test('the first signal asks to drain, the second one to stop waiting', async () => {
    const { events, lifecycle } = newLifecycle();
    events.emit('SIGTERM', 'SIGTERM');
    await aborted(lifecycle.stopping);
    assert.equal(lifecycle.forcing.aborted, false);
    events.emit('SIGINT', 'SIGINT');
    await aborted(lifecycle.forcing);
  });

  test('an error that nothing caught is told and logged, and ends nothing', () => {
    const { events, faults, records, lifecycle } = newLifecycle();
    const error = new Error('broken');
    events.emit('uncaughtException', error);
    events.emit('unhandledRejection', error);
    assert.deepEqual(faults, [error, error]);
    assert.equal(records.filter(({ level }) => level === 'error').length, 2);
    assert.equal(lifecycle.stopping.aborted, false);
  });

  test('leaves no handler behind', () => {
    const { events, lifecycle } = newLifecycle();
    lifecycle.uninstall();
    assert.deepEqual(events.eventNames(), []);
  });
});

suite('exit status', () => {
  test('says whose fault it was', () => {
    assert.equal(exitCodeOf(new AmbitError('SETTINGS_INVALID', 'x')), EXIT.usage);
    assert.equal(exitCodeOf(new EngineError('KERNEL_FEATURE_MISSING', 'x')), EXIT.unsupported);
    for (const code of ['BPFFS_UNUSABLE', 'CGROUP_MISSING'])
      assert.equal(exitCodeOf(new EngineError(code, 'x')), EXIT.unsupported);
    assert.equal(exitCodeOf(new EngineError('IO', 'x')), EXIT.fault);
    assert.equal(exitCodeOf(new Error('x', { cause: new AmbitError('CA_INSECURE', 'y') })), EXIT.usage);
  });
});
