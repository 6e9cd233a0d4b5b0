import { isDeepStrictEqual } from 'node:util';
import type { GatewayReport, ReportedCondition, RouteKind } from '../gateway-report.ts';
import type { Condition } from '../../model/workload.ts';
import type { GatewayCondition, GatewayObject } from './gateway-object.ts';
import type { GatewayRole } from './gateway-role.ts';
import { sayOfGateway } from './say-of-gateway.ts';
import { sayOfWaypoint } from './say-of-waypoint.ts';

/** What has become of a Gateway. */
export interface GatewayOutcome {
  readonly role: GatewayRole;
  /** Where clients find it; none: nowhere yet. */
  readonly addresses: readonly GatewayAddress[];
  /** Why nothing is deployed as the Gateway asks; null: everything is. */
  readonly refusal: Refusal | null;
  /** A pod of it is available. */
  readonly serves: boolean;
  /** What is said of the Gateway elsewhere. */
  readonly notes: readonly Condition[];
  /** What the mesh makes of it; null: nothing yet, as of every waypoint. */
  readonly report: GatewayReport | null;
}

export interface GatewayAddress {
  readonly type: 'Hostname' | 'IPAddress';
  readonly value: string;
}

export interface Refusal {
  readonly type: 'Accepted' | 'Programmed';
  /** One of those that the Gateway API names. */
  readonly reason: 'Invalid' | 'InvalidParameters' | 'UnsupportedAddress';
  readonly message: string;
}

/** A status without times. */
export interface SaidOfGateway {
  readonly conditions: readonly ReportedCondition[];
  readonly listeners: readonly SaidOfListener[];
}

export interface SaidOfListener {
  readonly name: string;
  readonly supportedKinds: readonly RouteKind[];
  readonly attachedRoutes: number;
  readonly conditions: readonly ReportedCondition[];
}

export interface GatewayStatus {
  readonly addresses: readonly GatewayAddress[];
  readonly conditions: readonly StatusCondition[];
  readonly listeners: readonly ListenerStatus[];
}

type ListenerStatus = Omit<SaidOfListener, 'conditions'> & { readonly conditions: readonly StatusCondition[] };

interface StatusCondition extends ReportedCondition {
  readonly observedGeneration: number;
  readonly lastTransitionTime: string;
}

const longestMessage = 32_768;
/** As the Gateway API has it. */
const mostAddresses = 16;

/** Pure: the status of a Gateway; times are kept where a condition's status stays. @param now milliseconds since the epoch */
export function gatewayStatus(gateway: GatewayObject, outcome: GatewayOutcome, now: number): GatewayStatus {
  const dated = (former: readonly GatewayCondition[], said: ReportedCondition): StatusCondition => {
    const before = former.find(({ type }) => type === said.type);
    const since = before?.status === said.status ? before.lastTransitionTime : null;
    return {
      ...said,
      message: said.message.slice(0, longestMessage),
      observedGeneration: gateway.metadata.generation ?? 0,
      lastTransitionTime: since ?? `${new Date(now).toISOString().slice(0, 19)}Z`,
    };
  };
  const said = outcome.role === 'waypoint' ? sayOfWaypoint(gateway, outcome) : sayOfGateway(gateway, outcome);
  const { listeners, conditions } = gateway.status;
  return {
    addresses: outcome.addresses.slice(0, mostAddresses),
    conditions: said.conditions.map((condition) => dated(conditions, condition)),
    listeners: said.listeners.map((listener) => {
      const former = listeners.find(({ name }) => name === listener.name)?.conditions ?? [];
      return { ...listener, conditions: listener.conditions.map((condition) => dated(former, condition)) };
    }),
  };
}

/** Whether the Gateway says so already. */
export function saysAlready({ status }: GatewayObject, wanted: GatewayStatus): boolean {
  const known = new Map(status.conditions.map((condition) => [condition.type, plain(condition)]));
  return (
    isDeepStrictEqual(status.addresses, wanted.addresses) &&
    wanted.conditions.every((condition) => isDeepStrictEqual(known.get(condition.type), plain(condition))) &&
    isDeepStrictEqual(status.listeners.map(plainListener), wanted.listeners.map(plainListener))
  );
}

function plainListener(listener: GatewayObject['status']['listeners'][number] | ListenerStatus): object {
  const { name, supportedKinds, attachedRoutes, conditions } = listener;
  const kinds = supportedKinds.map(({ group, kind }) => `${group ?? ''}/${kind}`);
  const sorted = [...conditions].toSorted((left, right) => left.type.localeCompare(right.type)).map(plain);
  return { name, kinds, attachedRoutes: attachedRoutes ?? 0, conditions: sorted };
}

function plain({ type, status, reason, message, observedGeneration }: GatewayCondition | StatusCondition): object {
  return { type, status, reason, message, observedGeneration };
}
