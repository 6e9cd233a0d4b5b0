import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';

import { assertLine, findLines, readAccessLog } from '../../support/access-log.ts';

describe('access log', () => {
  let folder = '';
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'ambit-unit-'));
  });
  after(() => rm(folder, { recursive: true }));

  it('leaves out a line that is still being written', async () => {
    const path = join(folder, 'log');
    await writeFile(path, '{"direction":"inbound","bytes_sent":1}\n{"direc');
    assert.deepEqual(await readAccessLog(path), [{ direction: 'inbound', bytes_sent: 1 }]);
  });

  it('is empty where nothing was written yet', async () => {
    assert.deepEqual(await readAccessLog(join(folder, 'absent')), []);
  });

  it('is searched by text, number and pattern', () => {
    const lines = [{ error: 'policy a/b denied', bytes_sent: 5 }, { bytes_sent: 6 }];
    assert.deepEqual(findLines(lines, { error: /a\/b/ }), [lines[0]]);
    assert.deepEqual(findLines(lines, { bytes_sent: 6 }), [lines[1]]);
    assert.throws(() => assertLine(lines, { bytes_sent: 7 }), /no access-log line with bytes_sent=7/);
  });
});
