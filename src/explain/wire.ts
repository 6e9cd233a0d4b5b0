import { create } from '@bufbuild/protobuf';
import {
  InboundInspection_Transport as WireTransport,
  InspectionQuestionSchema,
} from '../proto/gen/ambit/mesh/v1/inspection_pb.ts';
import type { InspectionQuestion } from '../proto/gen/ambit/mesh/v1/inspection_pb.ts';
import type { EndQuestion, InboundAsked } from './shape.ts';

/** The longest answer that an agent gives and a control plane takes, in characters. */
export const longestAnswer = 256 * 1024;

const transports = {
  plaintext: WireTransport.PLAINTEXT,
  mutual_tls: WireTransport.MUTUAL_TLS,
  node_local: WireTransport.NODE_LOCAL,
} as const;

export function encodeQuestion(id: number, question: EndQuestion): InspectionQuestion {
  if (question.end === 'outbound') {
    const { pod: podUid, destination, port } = question.asked;
    return create(InspectionQuestionSchema, {
      id,
      question: { case: 'outbound', value: { podUid, destination, port } },
    });
  }
  const { pod: podUid, peer, source, destination, port, transport } = question.asked;
  const value = { podUid, peer: peer ?? '', source, destination, port, transport: transports[transport] };
  return create(InspectionQuestionSchema, { id, question: { case: 'inbound', value } });
}

/** Null where it is a question of a newer peer that we do not know. */
export function decodeQuestion({ question }: InspectionQuestion): EndQuestion | null {
  if (question.case === 'outbound') {
    const { podUid: pod, destination, port } = question.value;
    return { end: 'outbound', asked: { pod, destination, port } };
  }
  if (question.case !== 'inbound') return null;
  const { podUid: pod, peer, source, destination, port, transport } = question.value;
  const known = transportOf(transport);
  if (known === null) return null;
  return {
    end: 'inbound',
    asked: { pod, peer: peer === '' ? null : peer, source, destination, port, transport: known },
  };
}

function transportOf(transport: WireTransport): InboundAsked['transport'] | null {
  switch (transport) {
    case WireTransport.PLAINTEXT:
      return 'plaintext';
    case WireTransport.MUTUAL_TLS:
      return 'mutual_tls';
    case WireTransport.NODE_LOCAL:
      return 'node_local';
    default:
      return null;
  }
}
