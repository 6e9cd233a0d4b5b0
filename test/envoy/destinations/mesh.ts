import { namespace, pod, service } from '../../support/manifests.ts';
import type { Manifest } from '../../support/manifests.ts';
import { behindWaypoint } from '../../support/envoy/manifest-suite.ts';
import type { TestServer } from '../../support/envoy/servers.ts';

/** Services of one namespace, each of a few pods that tell who they are. */

type Fields = Readonly<Record<string, unknown>>;

export const space = 'shop';

/** Where the nodes are; the waypoint runs on the first. */
const nodes = {
  'node-1': { region: 'eu', zone: 'a' },
  'node-2': { region: 'us', zone: 'b' },
  'node-3': { region: 'asia', zone: 'c' },
} as const;

export type NodeName = keyof typeof nodes;

export function shopNamespace(): readonly Manifest[] {
  return [namespace(space, { 'istio.io/dataplane-mode': 'ambient', ...behindWaypoint }), ...nodeDocuments()];
}

function nodeDocuments(): readonly Manifest[] {
  return Object.entries(nodes).map(([name, { region, zone }]) => {
    const labels = { 'topology.kubernetes.io/region': region, 'topology.kubernetes.io/zone': zone };
    return { apiVersion: 'v1', kind: 'Node', metadata: { name, labels }, spec: {}, status: {} };
  });
}

export interface Member {
  readonly server: TestServer;
  readonly node?: NodeName;
  readonly ready?: boolean;
}

export interface App {
  readonly name: string;
  /** The last part of the service's address. */
  readonly last: number;
  readonly members: readonly Member[];
  /** Port → its name, by which it is known what is spoken; `http` at 80 unless given. */
  readonly ports?: Readonly<Record<number, string>>;
}

/** A service and its pods. */
export function app({ name, last, members, ports = { 80: 'http' } }: App): readonly Manifest[] {
  const made = service({
    name,
    namespace: space,
    vips: [vipOf(last)],
    ports: {},
    selector: { app: name },
    spec: {
      ports: Object.entries(ports).map(([port, spoken]) => ({ name: spoken, port: Number(port), targetPort: 'own' })),
    },
  });
  const pods = members.map(({ server, node = 'node-1', ready = true }, index) =>
    pod({
      name: `${name}-${index}`,
      namespace: space,
      nodeName: node,
      netns: `${name}-${index}`,
      addresses: [`10.200.${last}.${index + 1}`],
      labels: { app: name, member: String(index) },
      namedPorts: { own: server.port },
      ready,
    }),
  );
  return [made, ...pods];
}

export function vipOf(last: number): string {
  return `10.96.0.${last}`;
}

export function destinationRule(host: string, trafficPolicy: Fields, fields: Fields = {}): Manifest {
  return istio('DestinationRule', host.replaceAll('.', '-'), { host, trafficPolicy, ...fields });
}

export function virtualService(host: string, fields: Fields): Manifest {
  return istio('VirtualService', host, { hosts: [host], ...fields });
}

export function istio(kind: string, name: string, spec: Fields, labels: Fields = {}): Manifest {
  return { apiVersion: 'networking.istio.io/v1', kind, metadata: { name, namespace: space, labels }, spec };
}

/** A route of the Gateway API on a port of a service. */
export function route(kind: string, version: string, name: string, port: number, spec: Fields): Manifest {
  const parentRefs = [{ group: '', kind: 'Service', name, port }];
  return {
    apiVersion: `gateway.networking.k8s.io/${version}`,
    kind,
    metadata: { name, namespace: space },
    spec: { parentRefs, ...spec },
  };
}
