import { z } from 'zod';
import { describeTable } from '../table.ts';

const typeStatus = z.object({
  type: z.string(),
  pending: z.boolean(),
  sent: z.string().nullable(),
  acknowledged: z.string().nullable(),
  rejection: z.string().nullable(),
});

/** What a control plane says of its clients, on `/debug/syncz`. */
export const clientsSchema = z.array(
  z.object({
    id: z.string(),
    waypoint: z.string().nullable(),
    peer: z.string(),
    // Control planes of the version before do not say these.
    cluster: z.string().nullish(),
    version: z.string().nullish(),
    control: z.string().nullish(),
    types: z.array(typeStatus),
  }),
);

export type Client = z.output<typeof clientsSchema>[number];
type TypeStatus = z.output<typeof typeStatus>;

/** As Istio's tools call the types. */
const shortNames: ReadonlyMap<string, string> = new Map([
  ['envoy.config.cluster.v3.Cluster', 'CDS'],
  ['envoy.config.listener.v3.Listener', 'LDS'],
  ['envoy.config.endpoint.v3.ClusterLoadAssignment', 'EDS'],
  ['envoy.config.route.v3.RouteConfiguration', 'RDS'],
  ['envoy.config.listener.v3.FilterChain', 'FCDS'],
  ['istio.workload.Address', 'WDS'],
  ['istio.security.Authorization', 'WADS'],
]);

/** One line for each client, with how many types it follows. */
export function describeClients(clients: readonly Client[]): string {
  const rows = sorted(clients).map((client) => {
    const names = client.types.map(({ type }) => shortName(type)).toSorted();
    return [...whoIs(client), `${names.length} (${names.join(',')})`, client.waypoint ?? '-'];
  });
  return describeTable([...whoHeadings, 'SUBSCRIBED TYPES', 'WAYPOINT'], rows);
}

/** One column for each type. */
export function describeSync(clients: readonly Client[]): string {
  const columns = [...shortNames.values()];
  const rows = sorted(clients).map((client) => {
    const states = new Map(client.types.map((type) => [shortName(type.type), stateOf(type)]));
    return [...whoIs(client), ...columns.map((column) => states.get(column) ?? 'IGNORED'), client.waypoint ?? '-'];
  });
  return describeTable([...whoHeadings, ...columns, 'WAYPOINT'], rows);
}

/** As Istio's tools begin each line; ours ends it. */
const whoHeadings = ['NAME', 'CLUSTER', 'ISTIOD', 'VERSION'] as const;

function whoIs({ id, cluster, control, version }: Client): readonly string[] {
  return [nameOf(id), cluster ?? '-', control ?? '-', version ?? '-'];
}

/** What clients have refused, with their reasons; empty where nothing. */
export function describeRejections(clients: readonly Client[]): string {
  return sorted(clients)
    .flatMap(({ id, types }) =>
      types.flatMap(({ type, rejection }) =>
        rejection === null ? [] : [`${nameOf(id)} refuses ${shortName(type)}: ${rejection}\n`],
      ),
    )
    .join('');
}

function stateOf({ pending, sent, acknowledged, rejection }: TypeStatus): string {
  if (rejection !== null) return 'NACKED';
  if (sent === null) return 'NOT SENT';
  return pending || sent !== acknowledged ? 'STALE' : 'SYNCED';
}

function shortName(type: string): string {
  const name = type.replace(/^type\.googleapis\.com\//, '');
  return shortNames.get(name) ?? name.replace(/^.*\./, '');
}

/** `NAMESPACE/POD` of an Envoy, `ztunnel~ADDRESS~POD.NAMESPACE~…` of an agent: `POD.NAMESPACE` of both. */
function nameOf(id: string): string {
  const parts = id.split('~');
  if (parts.length === 4) return parts[2] ?? id;
  const [namespace = '', pod] = id.split('/');
  return pod === undefined ? id : `${pod}.${namespace}`;
}

function sorted(clients: readonly Client[]): readonly Client[] {
  return clients.toSorted((left, right) => nameOf(left.id).localeCompare(nameOf(right.id)));
}
