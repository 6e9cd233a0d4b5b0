import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { assertMetric, parseMetrics, sum } from '../../support/metrics.ts';

const text = `# HELP a_total Help.
# TYPE a_total counter
a_total{x="1",y="a \\"quoted\\", value"} 3
a_total{x="2",y="b"} 4 1700000000000
plain 1.5
`;

describe('metrics text', () => {
  it('is read with its labels, escapes and timestamps', () => {
    const samples = parseMetrics(text);
    assert.deepEqual(samples[0], { name: 'a_total', labels: { x: '1', y: 'a "quoted", value' }, value: 3 });
    assert.equal(samples.length, 3);
  });

  it('sums what fits a query', () => {
    const samples = parseMetrics(text);
    assert.equal(sum(samples, 'a_total'), 7);
    assert.equal(sum(samples, 'a_total', { y: /quoted/ }), 3);
    assert.equal(sum(samples, 'a_total', { x: '3' }), 0);
  });

  it('is refused where a line is none of it', () => {
    assert.throws(() => parseMetrics('<html>\n'), /not a sample/);
  });

  it('fails an assertion with what is there', () => {
    assert.throws(() => {
      assertMetric(parseMetrics(text), 'a_total', { x: '3' });
    }, /is 0, expected 1 or more/);
  });
});
