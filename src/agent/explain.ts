import { AmbitError } from '../config/errors.ts';
import { explainConnection } from '../explain/connection.ts';
import { explainEnd } from '../explain/end.ts';
import { explainInbound } from '../explain/inbound.ts';
import type { Request } from '../explain/names.ts';
import type { NodeFacts } from '../explain/node-facts.ts';
import { explainOutbound } from '../explain/outbound.ts';
import type { Explanation } from '../explain/shape.ts';
import { decodeQuestion, longestAnswer } from '../explain/wire.ts';
import type { InspectionQuestion } from '../proto/gen/ambit/mesh/v1/inspection_pb.ts';
import type { Node } from './node.ts';

type Explained = Pick<Node, 'plane' | 'enrolment' | 'certificates'>;

/** What the control plane asked of this node, as JSON. @throws AmbitError where there is no answer */
export function answerInspection(node: Explained | null, question: InspectionQuestion): string {
  const asked = decodeQuestion(question);
  if (asked === null) throw new AmbitError('EXPLAIN_INVALID', 'this agent is too old for the question');
  const answer = JSON.stringify(explainEnd(nodeFacts(node), asked));
  if (answer.length <= longestAnswer) return answer;
  throw new AmbitError('EXPLAIN_TOO_LONG', 'the answer is too long to be told; ask the agent itself (--admin)');
}

/** What this agent alone can tell: of ends on other nodes it says what they should do by the state that it holds. */
export async function explainAlone(node: Explained | null, request: Request): Promise<Explanation> {
  const facts = nodeFacts(node);
  const own = facts.view.node;
  const only = <Asked, Answer>(explain: (facts: NodeFacts, asked: Asked) => Answer) => {
    return async (name: string, asked: Asked): Promise<Answer> => {
      await Promise.resolve();
      if (name === own) return explain(facts, asked);
      throw new AmbitError('EXPLAIN_OTHER_NODE', `only the agent of ${own} was asked`);
    };
  };
  const agents = { outbound: only(explainOutbound), inbound: only(explainInbound) };
  return explainConnection({ state: stateOf(node), whole: !facts.view.onDemand, agents }, request);
}

function nodeFacts(node: Explained | null): NodeFacts {
  const { plane, enrolment, certificates } = started(node);
  const pods = enrolment.status();
  const identities = certificates?.status() ?? [];
  return {
    basis: 'agent',
    view: plane.view,
    generation: plane.generation,
    conditions: plane.state.conditions,
    pod: (uid) => pods.find((pod) => pod.uid === uid) ?? null,
    certificate: (identity) => {
      const found = identities.find((status) => status.identity === identity);
      return found === undefined ? null : { state: found.state, reason: found.reason, notAfter: found.notAfter };
    },
  };
}

function stateOf(node: Explained | null): Node['plane']['state'] {
  return started(node).plane.state;
}

function started(node: Explained | null): Explained {
  if (node === null) throw new AmbitError('EXPLAIN_NOT_READY', 'the agent has not read the mesh yet');
  return node;
}
