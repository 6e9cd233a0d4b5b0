import { z } from 'zod';
import { EXIT } from '../agent/exit-codes.ts';
import { AmbitError } from '../config/errors.ts';
import { explainSettings } from '../config/explain-settings.ts';
import type { ExplainSettings } from '../config/explain-settings.ts';
import { explanationSchema } from '../explain/shape.ts';
import type { Explanation } from '../explain/shape.ts';
import { describeExplanation } from '../explain/text.ts';
import { addOption } from './command.ts';
import type { Invocation, RegisterCommand } from './command.ts';
import { fetchPage, parseJson } from './pages.ts';
import type { Page } from './pages.ts';

const HELP = `
SOURCE is a pod: NAME, NAMESPACE/NAME or the uid of a workload. DESTINATION is a pod likewise, an address ([ADDRESS] for
IPv6), or a host name: web.shop, web.shop.svc, web.shop.svc.cluster.local. Nothing is sent: both ends' agents say what they
would do now. With --admin one agent is asked alone; what other nodes would do is then told from what that agent holds.

Examples:
  ambit explain shop/client web.shop:80
  ambit explain -n shop client 10.0.0.7:5432 -o json
  ambit explain shop/client web.shop:80 --admin http://127.0.0.1:15000

Exit status:
  0  it is allowed
  1  it is not known: names that mean nothing, an agent or control plane that does not answer, wrong flags
  2  it is denied or refused, or that depends on the endpoint
`;

const unreachable = {
  code: 'EXPLAIN_UNREACHABLE',
  hint: 'is it the debug port of a control plane (--control-debug), or the admin port of an agent (--admin)?',
};
/** Each end may take five seconds. */
const deadline = 20_000;

const shorthands: Readonly<Record<keyof ExplainSettings, string | null>> = {
  namespace: 'n',
  output: 'o',
  controlDebug: null,
  admin: null,
};

export const registerExplain: RegisterCommand = (program, context) => {
  const command = program
    .command('explain')
    .description('Tell what will happen to a connection, and why.')
    .argument('<SOURCE>', 'pod whose connection it is')
    .argument('<DESTINATION:PORT>', 'pod, address or host name')
    .addHelpText('after', HELP)
    // 2 says "denied" here, so what is wrong with the words themselves must not say it.
    .exitOverride((error) => {
      context.setStatus(EXIT.fault);
      throw error;
    });
  for (const row of explainSettings.rows) addOption(command, row, shorthands[row.key]);
  command.action(async (source: string, destination: string, flags: Record<string, unknown>) => {
    context.setStatus(EXIT.fault);
    context.setStatus(await explain({ source, destination, flags }, context));
  });
};

interface Words {
  readonly source: string;
  readonly destination: string;
  readonly flags: Readonly<Record<string, unknown>>;
}

async function explain({ source, destination, flags }: Words, context: Invocation): Promise<number> {
  const { namespace, output, controlDebug, admin } = explainSettings.resolve(flags, context.environment);
  const query = new URLSearchParams({ source, destination, namespace }).toString();
  const page = admin === null ? `${controlDebug}/debug/explain` : `${admin}/explain`;
  const explanation = readExplanation(page, await fetchPage({ url: `${page}?${query}`, deadline, unreachable }));
  context.output(output === 'json' ? `${JSON.stringify(explanation, null, 2)}\n` : describeExplanation(explanation));
  return statuses[explanation.verdict.outcome];
}

const statuses: Readonly<Record<Explanation['verdict']['outcome'], number>> = {
  allowed: EXIT.ok,
  denied: 2,
  refused: 2,
  mixed: 2,
  unknown: EXIT.fault,
};

const failureSchema = z.object({ error: z.object({ code: z.string(), message: z.string() }) });

/** @throws AmbitError with the code that the page gave, or `EXPLAIN_UNREADABLE` */
function readExplanation(page: string, { status, text }: Page): Explanation {
  const json = parseJson(text);
  const explanation = explanationSchema.safeParse(json);
  if (status === 200 && explanation.success) return explanation.data;
  const failure = failureSchema.safeParse(json);
  if (failure.success) throw new AmbitError(failure.data.error.code, failure.data.error.message);
  const hint = 'is that one of our control planes or agents, and of this version?';
  throw new AmbitError('EXPLAIN_UNREADABLE', `${page} answered with status ${status} and no explanation: ${hint}`);
}
