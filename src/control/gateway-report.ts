/**
 * What the mesh makes of a Gateway that is a door, or of a ListenerSet that is attached to one: what of its status only they can tell who
 * know its secrets and routes. By its resource, `Gateway shop/web` or `ListenerSet shop/more`.
 */
export type GatewayReports = ReadonlyMap<string, GatewayReport>;

export interface GatewayReport {
  /** Of a Gateway, what its proxies are to listen on, also for its ListenerSets: each number once. Of a ListenerSet: none. */
  readonly ports: readonly ReportedPort[];
  readonly listeners: readonly ListenerReport[];
  /** Of the object itself, beside what follows from its listeners. */
  readonly conditions: readonly ReportedCondition[];
}

export interface ReportedPort {
  readonly number: number;
  readonly protocol: 'http' | 'https' | 'tls' | 'tcp';
  /** The UDP port of the same number, too. */
  readonly http3: boolean;
}

export interface ListenerReport {
  /** As the document calls it. */
  readonly name: string;
  readonly attachedRoutes: number;
  readonly supportedKinds: readonly RouteKind[];
  /** What is other than well: `Accepted`, `ResolvedRefs`, `Programmed` that are false, `Conflicted` that is true. Each type once. */
  readonly conditions: readonly ReportedCondition[];
}

export interface RouteKind {
  readonly group: string;
  readonly kind: string;
}

export interface ReportedCondition {
  readonly type: string;
  readonly status: 'True' | 'False';
  /** One of those that the Gateway API names. */
  readonly reason: string;
  readonly message: string;
}
