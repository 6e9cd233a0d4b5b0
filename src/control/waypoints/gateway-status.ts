import { isDeepStrictEqual } from 'node:util';
import type { GatewayReport, ReportedCondition, RouteKind } from '../gateway-report.ts';
import type { Condition } from '../../model/workload.ts';
import { dated, holdsAlready } from './dated-status.ts';
import type { DatedStatus } from './dated-status.ts';
import type { GatewayObject } from './gateway-object.ts';
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

export interface GatewayStatus extends DatedStatus {
  readonly addresses: readonly GatewayAddress[];
}

/** As the Gateway API has it. */
const mostAddresses = 16;

/** Pure: the status of a Gateway; times are kept where a condition's status stays. @param now milliseconds since the epoch */
export function gatewayStatus(gateway: GatewayObject, outcome: GatewayOutcome, now: number): GatewayStatus {
  const said = outcome.role === 'waypoint' ? sayOfWaypoint(gateway, outcome) : sayOfGateway(gateway, outcome);
  return { addresses: outcome.addresses.slice(0, mostAddresses), ...dated(gateway, said, now) };
}

/** Whether the Gateway says so already. */
export function saysAlready(gateway: GatewayObject, wanted: GatewayStatus): boolean {
  return isDeepStrictEqual(gateway.status.addresses, wanted.addresses) && holdsAlready(gateway, wanted);
}
