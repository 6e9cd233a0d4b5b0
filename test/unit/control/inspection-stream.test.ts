import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { InspectionStream } from '../../../src/control/inspection/inspection-stream.ts';
import { InspectionAnswerSchema } from '../../../src/proto/gen/ambit/mesh/v1/inspection_pb.ts';
import type { InspectionAnswer, InspectionQuestion } from '../../../src/proto/gen/ambit/mesh/v1/inspection_pb.ts';
import { ManualTimers } from '../../support/manual-timers.ts';

const question = { end: 'outbound', asked: { pod: 'uid', destination: '10.0.0.2', port: 80 } } as const;

function newRig() {
  const timers = new ManualTimers();
  const written: InspectionQuestion[] = [];
  const stream = new InspectionStream((sent) => written.push(sent), timers);
  return { timers, written, stream };
}

function explanation(id: number, value: string): InspectionAnswer {
  return create(InspectionAnswerSchema, { id, content: { case: 'explanation', value } });
}

suite('the stream of an agent that is asked', () => {
  test('gives each question its own answer, in whatever order they come', async () => {
    const { stream, written } = newRig();
    const answers = [stream.ask(question), stream.ask(question)];
    const [first, second] = written.map(({ id }) => id);
    stream.take(explanation(second ?? 0, 'second'));
    stream.take(explanation(first ?? 0, 'first'));
    assert.deepEqual(await Promise.all(answers), ['first', 'second']);
  });

  test('waits five seconds and no longer; what comes later is dropped', async () => {
    const { stream, timers, written } = newRig();
    const answer = stream.ask(question);
    timers.advance(5000);
    await assert.rejects(answer, { code: 'AGENT_SILENT' });
    stream.take(explanation(written[0]?.id ?? 0, 'late'));
  });

  test('leaves no timer behind', async () => {
    const { stream, timers, written } = newRig();
    const answer = stream.ask(question);
    stream.take(explanation(written[0]?.id ?? 0, ''));
    await answer;
    assert.deepEqual(timers.waits, []);
  });

  test('has so many questions on their way and no more', async () => {
    const { stream, written } = newRig();
    const waiting = Array.from({ length: 32 }, () => stream.ask(question));
    await assert.rejects(stream.ask(question), { code: 'AGENT_BUSY' });
    assert.equal(written.length, 32);
    stream.close();
    const outcomes = await Promise.allSettled(waiting);
    assert.ok(outcomes.every(({ status }) => status === 'rejected'));
  });

  test('that has ended answers nothing', async () => {
    const { stream } = newRig();
    const answer = stream.ask(question);
    stream.close();
    await assert.rejects(answer, { code: 'AGENT_GONE' });
    await assert.rejects(stream.ask(question), { code: 'AGENT_GONE' });
  });

  test('drops an answer to a question that was never asked', () => {
    const { stream } = newRig();
    stream.take(explanation(99, 'unasked'));
  });
});
