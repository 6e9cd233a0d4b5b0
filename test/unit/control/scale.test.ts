import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Cell } from '../../../bench/scale/cell.ts';
import { aimOf, formatTable } from '../../../bench/scale/table.ts';
import type { Measure } from '../../../bench/scale/table.ts';

const size = { workloads: 1000, agents: 10 };
/** This runs beside other tests: what is measured here may take so much longer than on a quiet machine. */
const leniency = 10;
/** 1,000 workloads, 100 services, 5 policies of namespaces and one of the mesh, its settings, and 100 pods of the own node. */
const everything = 1000 + 100 + 5 + 1 + 1 + 100;

test(`${size.workloads} workloads over ${size.agents} agents: all hold everything, and come back for nothing`, async () => {
  // It throws where agents hold different states, or one of them acknowledges a change not at all.
  const measures = await new Cell(size, () => undefined).measure();
  const figure = (phase: string, metric: string): readonly number[] =>
    measures.filter((measure) => measure.phase === phase && measure.metric === metric).map(({ value }) => value);
  assert.equal(figure('first sync of all', 'resources')[0], size.agents * everything);
  assert.deepEqual(figure('reconnect of all', 'resources sent again'), [0, 0]);
  for (const measure of measures) {
    const aim = aimOf(measure);
    if (aim !== null) assert.ok(measure.value <= aim * leniency, `${JSON.stringify(measure)}, aim ${aim}`);
  }
});

test('a figure beside its aim says whether it is reached', () => {
  const measure: Measure = {
    ...size,
    phase: 'change of an endpoint',
    who: 'x',
    metric: 'to the last ACK p99, ms',
    value: 151,
  };
  assert.match(formatTable([measure]), /151\s+<= 150\s+missed$/);
  assert.match(formatTable([{ ...measure, value: 150 }]), /150\s+<= 150\s+reached$/);
});
