import { explainInbound } from './inbound.ts';
import type { NodeFacts } from './node-facts.ts';
import { explainOutbound } from './outbound.ts';
import type { EndQuestion, Inbound, Outbound } from './shape.ts';

/** One end's half, by what its node knows. */
export function explainEnd(facts: NodeFacts, question: EndQuestion): Outbound | Inbound {
  return question.end === 'outbound' ? explainOutbound(facts, question.asked) : explainInbound(facts, question.asked);
}
