import { AmbitError, describeError, errorCode } from '../config/errors.ts';
import { sendText } from '../process/http-routes.ts';
import type { Route } from '../process/http-routes.ts';
import { requestFaults } from './names.ts';
import type { Request } from './names.ts';
import type { Explanation } from './shape.ts';

/** A question makes work on several nodes; people ask one at a time. */
const mostAtOnce = 8;

const statuses: Readonly<Record<string, number>> = {
  [requestFaults.invalid]: 400,
  [requestFaults.unknown]: 404,
  [requestFaults.ambiguous]: 409,
  EXPLAIN_BUSY: 503,
  EXPLAIN_NOT_READY: 503,
};

/** `?source=…&destination=…&namespace=…` is answered by JSON: the explanation, or `{error: {code, message}}`. */
export function explainRoute(path: string, explain: (request: Request) => Promise<Explanation>): Route {
  let running = 0;
  const limited = async (request: Request): Promise<Explanation> => {
    if (running >= mostAtOnce)
      throw new AmbitError('EXPLAIN_BUSY', `${mostAtOnce} explanations are under way; try again`);
    running++;
    try {
      return await explain(request);
    } finally {
      running--;
    }
  };
  return {
    method: 'GET',
    path,
    handle: async ({ searchParams }, response) => {
      const text = (name: string): string => searchParams.get(name) ?? '';
      const namespace = text('namespace') === '' ? 'default' : text('namespace');
      const request = { source: text('source'), destination: text('destination'), namespace };
      const { status, body } = await limited(request).then((body) => ({ status: 200, body }), failureOf);
      sendText(response, status, `${JSON.stringify(body, null, 2)}\n`, 'application/json');
    },
  };
}

/** @throws what is nobody's fault but ours */
function failureOf(error: unknown): { readonly status: number; readonly body: unknown } {
  const code = errorCode(error) ?? '';
  const status = statuses[code];
  if (!(error instanceof AmbitError) || status === undefined) throw error;
  return {
    status,
    body: { error: { code, message: error.cause === undefined ? error.message : describeError(error) } },
  };
}
