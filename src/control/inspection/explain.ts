import { AmbitError } from '../../config/errors.ts';
import { explainConnection } from '../../explain/connection.ts';
import type { Agents } from '../../explain/connection.ts';
import type { Request } from '../../explain/names.ts';
import { inboundSchema, outboundSchema } from '../../explain/shape.ts';
import type { EndQuestion, Explanation } from '../../explain/shape.ts';
import type { MeshState } from '../../model/workload.ts';

export interface ExplainDependencies {
  readonly state: () => MeshState;
  /** JSON of a node's answer; rejects where there is none. */
  readonly ask: (node: string, question: EndQuestion) => Promise<string>;
}

/** Explains a connection by what the agents of both ends say. @throws AmbitError where the names mean nothing */
export function explainMesh({ state, ask }: ExplainDependencies, request: Request): Promise<Explanation> {
  const agents: Agents = {
    outbound: async (node, asked) => read(outboundSchema, await ask(node, { end: 'outbound', asked })),
    inbound: async (node, asked) => read(inboundSchema, await ask(node, { end: 'inbound', asked })),
  };
  return explainConnection({ state: state(), whole: true, agents }, request);
}

interface Schema<Value> {
  safeParse(input: unknown): { readonly success: true; readonly data: Value } | { readonly success: false };
}

/** @throws AmbitError where it is not what was asked for */
function read<Value>(schema: Schema<Value>, json: string): Value {
  const parsed = schema.safeParse(parseJson(json));
  if (parsed.success) return parsed.data;
  throw new AmbitError('AGENT_UNREADABLE', 'its answer cannot be read; is the agent of another version?');
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
