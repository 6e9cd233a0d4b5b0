import { isDeepStrictEqual } from 'node:util';
import type { ReportedCondition } from '../gateway-report.ts';
import type { GatewayCondition, GatewayObject } from './gateway-object.ts';
import type { SaidOfGateway, SaidOfListener } from './gateway-status.ts';

/** Conditions with their times, of an object and of each of its listeners. */
export interface DatedStatus {
  readonly conditions: readonly StatusCondition[];
  readonly listeners: readonly ListenerStatus[];
}

type ListenerStatus = Omit<SaidOfListener, 'conditions'> & { readonly conditions: readonly StatusCondition[] };

interface StatusCondition extends ReportedCondition {
  readonly observedGeneration: number;
  readonly lastTransitionTime: string;
}

/** A Gateway or a ListenerSet, as far as times go. */
interface Former {
  readonly metadata: Pick<GatewayObject['metadata'], 'generation'>;
  readonly status: Pick<GatewayObject['status'], 'conditions' | 'listeners'>;
}

const longestMessage = 32_768;

/** Pure: times are kept where a condition's status stays. @param now milliseconds since the epoch */
export function dated({ metadata, status }: Former, said: SaidOfGateway, now: number): DatedStatus {
  const date = (former: readonly GatewayCondition[], condition: ReportedCondition): StatusCondition => {
    const before = former.find(({ type }) => type === condition.type);
    const since = before?.status === condition.status ? before.lastTransitionTime : null;
    return {
      ...condition,
      message: condition.message.slice(0, longestMessage),
      observedGeneration: metadata.generation ?? 0,
      lastTransitionTime: since ?? `${new Date(now).toISOString().slice(0, 19)}Z`,
    };
  };
  return {
    conditions: said.conditions.map((condition) => date(status.conditions, condition)),
    listeners: said.listeners.map((listener) => {
      const former = status.listeners.find(({ name }) => name === listener.name)?.conditions ?? [];
      return { ...listener, conditions: listener.conditions.map((condition) => date(former, condition)) };
    }),
  };
}

/** Whether the object says so already; what others say beside it does not count. */
export function holdsAlready({ status }: Pick<Former, 'status'>, wanted: DatedStatus): boolean {
  const known = new Map(status.conditions.map((condition) => [condition.type, plain(condition)]));
  return (
    wanted.conditions.every((condition) => isDeepStrictEqual(known.get(condition.type), plain(condition))) &&
    isDeepStrictEqual(status.listeners.map(plainListener), wanted.listeners.map(plainListener))
  );
}

function plainListener(listener: Former['status']['listeners'][number] | ListenerStatus): object {
  const { name, supportedKinds, attachedRoutes, conditions } = listener;
  const kinds = supportedKinds.map(({ group, kind }) => `${group ?? ''}/${kind}`);
  const sorted = [...conditions].toSorted((left, right) => left.type.localeCompare(right.type)).map(plain);
  return { name, kinds, attachedRoutes: attachedRoutes ?? 0, conditions: sorted };
}

function plain({ type, status, reason, message, observedGeneration }: GatewayCondition | StatusCondition): object {
  return { type, status, reason, message, observedGeneration };
}
