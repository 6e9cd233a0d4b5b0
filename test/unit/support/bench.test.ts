import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { aimOf, isReached } from '../../../bench/aims.ts';
import { cells, decay } from '../../../bench/cells.ts';
import { formatTable, median } from '../../../bench/table.ts';

describe('benchmark table', () => {
  it('takes the middle value', () => {
    assert.equal(median([3, 1, 2]), 2);
    assert.throws(() => median([]), RangeError);
  });

  it('says whether an aim is reached', () => {
    const rows = [
      { place: 'cross node', metric: 'stream 1 up', without: 60, with: 12 },
      { place: 'cross node', metric: 'round trip 1 p50', without: 15, with: 60 },
    ] as const;
    const [, stream, roundTrip] = formatTable(rows).split('\n');
    assert.match(stream ?? '', /0\.200\s+>= 0\.18\s+reached$/);
    assert.match(roundTrip ?? '', /4\.00\s+<= 2\.7\s+missed$/);
  });

  it('has aims in the right direction', () => {
    const aim = aimOf('same node', 'round trip 1 p50');
    assert.ok(aim !== null && isReached(aim, 2.1) && !isReached(aim, 2.3));
  });

  it('notices a rate that falls', () => {
    assert.equal(decay([100, 100, 100, 100, 100, 7]), 1);
    assert.equal(decay([100, 100, 100, 100, 10, 7]), 0.1);
  });

  it('names every cell once', () => {
    assert.equal(new Set(cells.map(({ name }) => name)).size, cells.length);
  });
});
