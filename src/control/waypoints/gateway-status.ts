import { isDeepStrictEqual } from 'node:util';
import { tunnelPort } from '../../derive/waypoints/waypoint.ts';
import type { Condition } from '../../model/workload.ts';
import type { GatewayCondition, GatewayObject } from './gateway-object.ts';

/** What has become of a waypoint's Gateway. */
export interface GatewayOutcome {
  /** Name of its Service in DNS, then its addresses; none: there is no Service yet. */
  readonly addresses: readonly GatewayAddress[];
  /** Why nothing is deployed as the Gateway asks; null: everything is. */
  readonly refusal: Refusal | null;
  /** A pod of it is available. */
  readonly serves: boolean;
  /** What is said of the Gateway elsewhere. */
  readonly notes: readonly Condition[];
}

export interface GatewayAddress {
  readonly type: 'Hostname' | 'IPAddress';
  readonly value: string;
}

export interface Refusal {
  readonly type: 'Accepted' | 'Programmed';
  /** One of those that the Gateway API names. */
  readonly reason: 'Invalid' | 'InvalidParameters';
  readonly message: string;
}

export interface GatewayStatus {
  readonly addresses: readonly GatewayAddress[];
  readonly conditions: readonly StatusCondition[];
  readonly listeners: readonly object[];
}

interface StatusCondition {
  readonly type: string;
  readonly status: 'True' | 'False';
  readonly reason: string;
  readonly message: string;
  readonly observedGeneration: number;
  readonly lastTransitionTime: string;
}

const longestMessage = 32_768;

/** Pure: the status of a Gateway; times are kept where a condition's status stays. @param now milliseconds since the epoch */
export function gatewayStatus(gateway: GatewayObject, outcome: GatewayOutcome, now: number): GatewayStatus {
  const dated = (former: readonly GatewayCondition[], said: Said): StatusCondition => {
    const before = former.find(({ type }) => type === said.type);
    const since = before?.status === said.status ? before.lastTransitionTime : null;
    return {
      ...said,
      message: said.message.slice(0, longestMessage),
      observedGeneration: gateway.metadata.generation ?? 0,
      lastTransitionTime: since ?? `${new Date(now).toISOString().slice(0, 19)}Z`,
    };
  };
  const { listeners, conditions } = gateway.status;
  return {
    addresses: outcome.addresses,
    conditions: gatewayConditions(outcome).map((said) => dated(conditions, said)),
    listeners: gateway.spec.listeners.map((listener) => {
      const former = listeners.find(({ name }) => name === listener.name);
      return {
        name: listener.name,
        // Routes of a mesh belong to Services; those of the waypoint itself are for whoever it stands before.
        supportedKinds: routeKinds.map((kind) => ({ group: 'gateway.networking.k8s.io', kind })),
        attachedRoutes: former?.attachedRoutes ?? 0,
        conditions: listenerConditions(listener, outcome).map((said) => dated(former?.conditions ?? [], said)),
      };
    }),
  };
}

/** Whether the Gateway says so already. */
export function saysAlready({ status }: GatewayObject, wanted: GatewayStatus): boolean {
  const plain = (condition: object): object => {
    const { type, status: state, reason, message, observedGeneration } = condition as GatewayCondition;
    return { type, state, reason, message, observedGeneration };
  };
  const known = new Map(status.conditions.map((condition) => [condition.type, plain(condition)]));
  const listeners = wanted.listeners as GatewayObject['status']['listeners'];
  return (
    isDeepStrictEqual(status.addresses, wanted.addresses) &&
    wanted.conditions.every((condition) => isDeepStrictEqual(known.get(condition.type), plain(condition))) &&
    listeners.every(({ name, conditions }) => {
      const former = status.listeners.find((listener) => listener.name === name);
      return isDeepStrictEqual(byType(former?.conditions ?? [], plain), byType(conditions, plain));
    })
  );
}

type Said = Pick<StatusCondition, 'type' | 'status' | 'reason' | 'message'>;

const routeKinds = ['HTTPRoute', 'GRPCRoute', 'TCPRoute', 'TLSRoute'];

function gatewayConditions({ refusal, serves, addresses, notes }: GatewayOutcome): readonly Said[] {
  const said = new Map<string, Said>();
  const say = (type: string, status: Said['status'], reason: string, message: string): void => {
    said.set(type, { type, status, reason, message });
  };
  const asides = notes.filter(({ type, reason }) => type === 'Accepted' && reason === 'ValueNotHonoured');
  say('Accepted', 'True', 'Accepted', ['deployed as it asks', ...asides.map(({ message }) => message)].join('; '));
  if (addresses.length === 0) say('Programmed', 'False', 'AddressNotAssigned', 'its Service has no address yet');
  else if (serves) say('Programmed', 'True', 'Programmed', `a waypoint at ${describe(addresses)}`);
  else say('Programmed', 'False', 'Pending', 'none of its pods is available yet');
  if (refusal !== null) say(refusal.type, 'False', refusal.reason, refusal.message);
  if (refusal?.type === 'Accepted') say('Programmed', 'False', 'Invalid', 'it is not accepted');
  for (const note of notes) if (!asides.includes(note)) say(note.type, 'False', note.reason, note.message);
  return [...said.values()];
}

function describe(addresses: readonly GatewayAddress[]): string {
  return addresses.map(({ value }) => value).join(', ');
}

function listenerConditions(
  { port, protocol }: GatewayObject['spec']['listeners'][number],
  { serves }: GatewayOutcome,
): readonly Said[] {
  const known = port === tunnelPort && protocol === 'HBONE';
  const accepted: Said = known
    ? { type: 'Accepted', status: 'True', reason: 'Accepted', message: 'takes what comes through the mesh' }
    : {
        type: 'Accepted',
        status: 'False',
        reason: 'UnsupportedProtocol',
        message: `a waypoint has one listener, of protocol HBONE on port ${tunnelPort}: this one takes nothing`,
      };
  const programmed = known && serves;
  return [
    accepted,
    { type: 'Conflicted', status: 'False', reason: 'NoConflicts', message: 'no other listener is in its way' },
    { type: 'ResolvedRefs', status: 'True', reason: 'ResolvedRefs', message: 'it refers to nothing else' },
    {
      type: 'Programmed',
      status: programmed ? 'True' : 'False',
      reason: programmed ? 'Programmed' : known ? 'Pending' : 'Invalid',
      message: programmed ? 'a pod takes connections' : 'no pod takes connections',
    },
  ];
}

function byType(conditions: readonly object[], plain: (condition: object) => object): readonly object[] {
  return conditions.map(plain).toSorted((left, right) => JSON.stringify(left).localeCompare(JSON.stringify(right)));
}
