import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { decodeQuestion, encodeQuestion } from '../../../src/explain/wire.ts';
import type { EndQuestion } from '../../../src/explain/shape.ts';
import { InspectionQuestionSchema } from '../../../src/proto/gen/ambit/mesh/v1/inspection_pb.ts';
import type { InboundInspection_Transport } from '../../../src/proto/gen/ambit/mesh/v1/inspection_pb.ts';

const asked = { pod: 'uid', destination: '10.0.0.2', port: 80 };

suite('questions on the wire', () => {
  test('arrive as they were asked', () => {
    const questions: EndQuestion[] = [
      { end: 'outbound', asked },
      ...(['mutual_tls', 'node_local', 'plaintext'] as const).map((transport): EndQuestion => {
        const peer = transport === 'plaintext' ? null : 'spiffe://a/ns/b/sa/c';
        return { end: 'inbound', asked: { ...asked, peer, source: '10.0.0.1', transport } };
      }),
    ];
    for (const question of questions) assert.deepEqual(decodeQuestion(encodeQuestion(7, question)), question);
  });

  test('that an older agent does not know are no questions', () => {
    assert.equal(decodeQuestion(create(InspectionQuestionSchema, { id: 1 })), null);
    const newer: number = 9;
    const value = { podUid: 'uid', transport: newer as InboundInspection_Transport };
    const question = create(InspectionQuestionSchema, { id: 1, question: { case: 'inbound', value } });
    assert.equal(decodeQuestion(question), null);
  });
});
