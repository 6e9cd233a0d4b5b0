import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { AmbitError } from '../../../src/config/errors.ts';
import { errorFields } from '../../../src/telemetry/error-fields.ts';
import { Logging } from '../../../src/telemetry/logger.ts';
import type { LogFormat } from '../../../src/telemetry/logger.ts';

function newLogging(format: LogFormat = 'json') {
  const lines: string[] = [];
  const logging = new Logging({ level: 'info', format, destination: { write: (line) => void lines.push(line) } });
  return { logging, lines };
}

suite('logging', () => {
  test('a record has level, scope, message and fields', () => {
    const { logging, lines } = newLogging();
    logging.component('enrolment').info({ pod: 'default/a' }, 'pod enrolled');
    const record = JSON.parse(lines[0] ?? '') as Record<string, unknown>;
    assert.match(String(record['time']), /^\d{4}-\d\d-\d\dT/);
    delete record['time'];
    assert.deepEqual(record, { level: 'info', scope: 'enrolment', pod: 'default/a', message: 'pod enrolled' });
  });

  test('secrets are never written, in either format', () => {
    for (const format of ['json', 'plain'] as const) {
      const { logging, lines } = newLogging(format);
      const secret = { privateKey: 'SECRET', certificate: { privateKey: 'SECRET', deep: { token: 'SECRET' } } };
      logging.component('x').warn(secret, 'careless');
      assert.doesNotMatch(lines.join(''), /SECRET/);
      assert.match(lines.join(''), /\[redacted\]/);
    }
  });

  test('plain text is one line of tab-separated parts', () => {
    const { logging, lines } = newLogging('plain');
    logging.component('x').info({ peer: 'a\nforged\tline', count: 3 }, 'two\nlines');
    assert.equal(lines.length, 1);
    const [time, ...rest] = (lines[0] ?? '').split('\t');
    assert.ok(!Number.isNaN(Date.parse(time ?? '')));
    assert.deepEqual(rest, ['info', 'x', 'two lines', 'peer="a\\nforged\\tline"', 'count=3\n']);
  });

  test('a component’s own level counts, also if it logs later for the first time', () => {
    const { logging, lines } = newLogging();
    logging.setComponentLevel('later', 'debug');
    logging.component('later').debug({}, 'heard');
    logging.component('other').debug({}, 'not heard');
    assert.equal(lines.length, 1);
    assert.equal(logging.describe(), 'info,later=debug');
  });

  test('a level for all replaces those of single components', () => {
    const { logging, lines } = newLogging();
    const logger = logging.component('x');
    logging.setComponentLevel('x', 'debug');
    logging.setLevel('error');
    logger.warn({}, 'not heard');
    assert.equal(lines.length, 0);
  });

  test('an error is told with its causes and the nearest code', () => {
    const error = new Error('outer', { cause: new AmbitError('CA_INVALID', 'inner') });
    assert.deepEqual(errorFields(error), { error: 'outer: [CA_INVALID] inner', code: 'CA_INVALID' });
  });
});
