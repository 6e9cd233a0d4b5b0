import { create } from '@bufbuild/protobuf';
import type { MessageShape } from '@bufbuild/protobuf';
import type { AppProtocol } from '../model/workload.ts';
import { Matcher_OnMatchSchema } from '../proto/gen/envoy-api/xds/type/matcher/v3/matcher_pb.ts';
import { byAddress, byFirstBytes, byPort, guarded, nested, toChain } from './chain-matcher.ts';
import type { Branch, Place } from './chain-matcher.ts';
import type { BoundService, BoundWorkload } from './model.ts';
import { refusedChain } from './names.ts';
import { asksForHttp, carriedBy, planPort } from './port-plan.ts';
import type { Inspection } from './port-plan.ts';
import { connectionGate, gateSize } from './security/connection-gate.ts';
import { asksForServerName } from './security/server-names.ts';
import { groupWorkloads } from './workload-chains.ts';
import type { WorkloadGroup } from './workload-chains.ts';

type BranchMessage = MessageShape<typeof Matcher_OnMatchSchema>;

/** How connections to some addresses find their chains. Who may connect is asked once for all of their ports. */
export interface Entrance {
  /** Whose services or workloads these are; null: nobody says. */
  readonly namespace: string | null;
  /** Canonical texts; none: nothing leads there. */
  readonly addresses: readonly string[];
  /** As a message, so that a listener of many makes each once only. */
  readonly branch: BranchMessage;
  /** What `branch` is for those who may not connect: only what carries requests goes on. */
  readonly refusing: BranchMessage;
  /** How much is asked of those who connect, by policies and by rules for connections, in single facts. */
  readonly asked: number;
  /** How much there is of a branch: that, and what is told apart behind it. */
  readonly size: number;
  readonly ports: readonly EntrancePort[];
  /** What is read of connections to all other ports; null: none leads anywhere. */
  readonly anyPort: readonly Inspection[] | null;
}

export interface EntrancePort {
  readonly number: number;
  readonly inspections: readonly Inspection[];
  /** Somebody says that it speaks no HTTP, so its server may speak first. */
  readonly bytes: boolean;
}

export function entranceOf(service: BoundService): Entrance {
  const plans = service.ports.map((port) => ({ port, plan: planPort(service, port) }));
  const carriesBytes = service.ports.some((port) => carriedBy(service, port) !== 'http');
  const parts = gated(
    carriesBytes ? connectionGate(service.security.policies) : true,
    byPort(new Map(plans.map(({ port, plan }) => [String(port.number), plan.branch]))),
    byPort(new Map(plans.map(({ port, plan }) => [String(port.number), plan.refused]))),
    plans.reduce((sum, { plan }) => sum + plan.asked, 0),
  );
  return {
    namespace: service.namespace,
    // Envoy refuses an empty map of ports.
    addresses: plans.length === 0 ? [] : service.addresses,
    ...parts,
    size: parts.asked + plans.length,
    ports: plans.map(({ port: { number, protocol }, plan: { inspections } }) => ({
      number,
      inspections,
      bytes: isBytes(protocol),
    })),
    anyPort: null,
  };
}

/** Of workloads that share their chains one, where it is asked who connects; else one for each kind of ports. */
export function workloadEntrances(workloads: readonly BoundWorkload[]): readonly Entrance[] {
  return groupWorkloads(workloads).flatMap(entrancesOfGroup);
}

function entrancesOfGroup(group: WorkloadGroup): readonly Entrance[] {
  const { names, labels, security, workloads } = group;
  const namespace = labels?.namespace ?? null;
  const gate = connectionGate(security.policies);
  const read = inspectionsOf(group);
  const open = placesOf(group, toChain(names.tcp));
  if (gate === true) {
    const told = (index: number) => (index === 0 ? read : { ports: [], anyPort: null });
    return open.map((place, index) => ({
      namespace,
      ...place,
      ...gated(gate, place.branch, place.branch),
      ...told(index),
    }));
  }
  const addresses = workloads.flatMap((workload) => workload.addresses);
  const refused = placesOf(group, toChain(refusedChain(names.tcp)));
  const parts = gated(gate, within(open), within(refused));
  return [{ namespace, addresses, ...parts, size: parts.asked + open.length * addresses.length, ...read }];
}

function inspectionsOf({ security, workloads }: WorkloadGroup): Pick<Entrance, 'ports' | 'anyPort'> {
  const readsNames = security.policies.some(asksForServerName);
  const ports = workloads.flatMap(({ protocols }) => [...protocols]);
  return {
    ports: ports.map(([number, protocol]) => {
      const bytes = isBytes(protocol);
      return { number, inspections: bytes && readsNames ? ['tls'] : [], bytes };
    }),
    anyPort: readsNames ? ['http', 'tls'] : ['http'],
  };
}

/** @param gate a boolean where it is the same for everybody; @param askedOpen how much `open` asks of those who may connect */
function gated(
  gate: ReturnType<typeof connectionGate>,
  open: Branch,
  refused: Branch,
  askedOpen = 0,
): Pick<Entrance, 'branch' | 'refusing' | 'asked'> {
  const asked = gate === false ? 0 : gateSize(gate) + askedOpen;
  return { branch: message(guarded(gate, open, refused)), refusing: message(refused), asked };
}

/** Workloads with the same ports together, for most of them are alike. @param tcp where that goes which is no HTTP */
function placesOf({ names, workloads }: WorkloadGroup, tcp: Branch): readonly Place[] {
  const http = toChain(names.http);
  const places = new Map<string, Place & { readonly addresses: string[] }>();
  for (const workload of workloads) {
    if (workload.addresses.length === 0) continue;
    const key = JSON.stringify([[...workload.protocols], asksForHttp(workload.security)]);
    const size = workload.protocols.size;
    const place = places.get(key) ?? { addresses: [], branch: waysToOne(workload, http, tcp), size };
    place.addresses.push(...workload.addresses);
    places.set(key, place);
  }
  return [...places.values()];
}

function within(places: readonly Place[]): Branch {
  const [only, ...others] = places;
  return only !== undefined && others.length === 0 ? only.branch : nested(byAddress(places));
}

function waysToOne({ protocols, security }: BoundWorkload, http: Branch, tcp: Branch): Branch {
  const ports = [...protocols].map(([port, protocol]) => [String(port), isBytes(protocol) ? tcp : http] as const);
  return byPort(new Map(ports), asksForHttp(security) ? http : byFirstBytes(http, tcp));
}

function isBytes(protocol: AppProtocol | null): boolean {
  return protocol === 'tcp' || protocol === 'tls';
}

function message(branch: Branch): BranchMessage {
  return create(Matcher_OnMatchSchema, branch);
}
