import type { GatewayReport, ListenerReport, ReportedCondition } from '../gateway-report.ts';
import type { GatewayObject, ListenerSetObject } from './gateway-object.ts';
import type { GatewayOutcome, SaidOfGateway, SaidOfListener } from './gateway-status.ts';
import { reservedPorts } from './reserved-ports.ts';
import { conditionsOfGateway } from './say-conditions.ts';

/** Pure: of a gateway, from what the mesh makes of its listeners. */
export function sayOfGateway({ spec }: GatewayObject, outcome: GatewayOutcome): SaidOfGateway {
  const listeners = sayOfListeners(spec.listeners, outcome);
  const reported = outcome.report === null ? unseenGateway(outcome) : outcome.report.conditions;
  return { conditions: conditionsOfGateway(outcome, [...ofListeners(listeners), ...reported]), listeners };
}

/** Pure: of a ListenerSet. @param serves whether a pod of its Gateway is available */
export function sayOfListenerSet({ spec }: ListenerSetObject, report: GatewayReport, serves: boolean): SaidOfGateway {
  const listeners = sayOfListeners(spec.listeners, { report, serves });
  const said = new Map<string, ReportedCondition>(
    [
      ...usual(serves).filter(({ type }) => ownTypes.includes(type)),
      ...ofListeners(listeners),
      ...report.conditions,
    ].map((condition) => [condition.type, condition]),
  );
  const { status = 'True', message = '' } = said.get('Accepted') ?? {};
  if (status === 'False') said.set('Programmed', { type: 'Programmed', status, reason: 'Invalid', message });
  return { conditions: [...said.values()], listeners };
}

const ownTypes = ['Accepted', 'Programmed'];

type Listeners = GatewayObject['spec']['listeners'];
type Seen = Pick<GatewayOutcome, 'report' | 'serves'>;

function sayOfListeners(listeners: Listeners, { report, serves }: Seen): readonly SaidOfListener[] {
  const reports = new Map((report?.listeners ?? []).map((listener) => [listener.name, listener]));
  return listeners.map((listener) => sayOfListener(listener, reports.get(listener.name), serves));
}

function sayOfListener(
  { name, port }: Listeners[number],
  report: ListenerReport | undefined,
  serves: boolean,
): SaidOfListener {
  return {
    name,
    supportedKinds: report?.supportedKinds ?? [],
    attachedRoutes: report?.attachedRoutes ?? 0,
    conditions: listenerConditions([...reservation(port), ...(report?.conditions ?? unseen)], serves),
  };
}

/** A mesh that has not read the Gateway yet does so within a moment. */
const unseen: readonly ReportedCondition[] = [
  { type: 'Accepted', status: 'False', reason: 'Pending', message: 'it has not been looked at yet' },
];

/** What is more in its way is told first. */
function unseenGateway({ addresses }: GatewayOutcome): readonly ReportedCondition[] {
  if (addresses.length === 0) return [];
  return unseen.map((condition) => ({ ...condition, type: 'Programmed' }));
}

function reservation(port: number): readonly ReportedCondition[] {
  if (!reservedPorts.has(port)) return [];
  const message = `port ${port} of the gateway’s pods is the mesh’s own`;
  return [{ type: 'Accepted', status: 'False', reason: 'PortUnavailable', message }];
}

/** What is not told of is well. */
function listenerConditions(told: readonly ReportedCondition[], serves: boolean): readonly ReportedCondition[] {
  const said = new Map<string, ReportedCondition>(usual(serves).map((condition) => [condition.type, condition]));
  for (const condition of told.toReversed()) said.set(condition.type, condition);
  const wrong = ['Accepted', 'ResolvedRefs'].find((type) => said.get(type)?.status === 'False');
  if (wrong !== undefined && !told.some(({ type }) => type === 'Programmed')) {
    const { reason, message } = said.get(wrong) ?? { reason: '', message: '' };
    const pending = reason === 'Pending' ? reason : 'Invalid';
    said.set('Programmed', { type: 'Programmed', status: 'False', reason: pending, message });
  }
  return [...said.values()];
}

function usual(serves: boolean): readonly ReportedCondition[] {
  return [
    { type: 'Accepted', status: 'True', reason: 'Accepted', message: 'in force as it is written' },
    { type: 'Conflicted', status: 'False', reason: 'NoConflicts', message: 'no other listener is in its way' },
    { type: 'ResolvedRefs', status: 'True', reason: 'ResolvedRefs', message: 'everything that it names is there' },
    {
      type: 'Programmed',
      status: serves ? 'True' : 'False',
      reason: serves ? 'Programmed' : 'Pending',
      message: serves ? 'a pod takes connections' : 'no pod takes connections',
    },
  ];
}

/** A Gateway with one good listener is accepted, and says that others are not. */
function ofListeners(listeners: readonly SaidOfListener[]): readonly ReportedCondition[] {
  const refused = listeners.filter(({ conditions }) =>
    conditions.some(({ type, status, reason }) => type === 'Accepted' && status === 'False' && reason !== 'Pending'),
  );
  if (refused.length === 0) return [];
  const none = refused.length === listeners.length;
  const message = `listeners that are not accepted: ${refused.map(({ name }) => name).join(', ')}`;
  return [{ type: 'Accepted', status: none ? 'False' : 'True', reason: 'ListenersNotValid', message }];
}
