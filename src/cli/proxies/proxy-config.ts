import { z } from 'zod';
import { describeTable } from '../table.ts';

const fields = z.record(z.string(), z.unknown());
const described = z.object({ name: z.string(), origins: z.array(z.string()), resource: fields });
const resources = z.array(described);

/** What a control plane tells the Envoys of a waypoint or gateway, on `/debug/waypoint`. */
export const waypointSchema = z.object({
  clusters: resources,
  endpoints: resources,
  /** Of an older control plane there are none. */
  secrets: resources.default([]),
  listeners: resources,
  filterChains: resources,
  routes: resources,
});

export type DescribedWaypoint = z.output<typeof waypointSchema>;
/** Chains are listed with their listener. */
export type ResourceKind = Exclude<keyof DescribedWaypoint, 'filterChains'>;
type Resource = z.output<typeof described>;

/** A table with Istio's columns, as far as the control plane knows what they ask for. */
export function describeResources(kind: ResourceKind, waypoint: DescribedWaypoint): string {
  const { headings, rows } = tables[kind];
  return describeTable(headings, resourcesOf(kind, waypoint).flatMap(rows));
}

export function resourcesOf(kind: ResourceKind, waypoint: DescribedWaypoint): readonly Resource[] {
  return kind === 'listeners' ? [...waypoint.listeners, ...waypoint.filterChains] : waypoint[kind];
}

interface Table {
  readonly headings: readonly string[];
  readonly rows: (resource: Resource) => readonly (readonly string[])[];
}

const clusterShape = z.object({ type: z.string().default('STATIC') });

const assignmentShape = z.object({
  endpoints: z
    .array(
      z.object({
        locality: z
          .object({ region: z.string().default(''), zone: z.string().default('') })
          .default({ region: '', zone: '' }),
        lb_endpoints: z
          .array(
            z.object({
              health_status: z.string().default('HEALTHY'),
              endpoint: z.object({
                address: z.object({ socket_address: z.object({ address: z.string(), port_value: z.number() }) }),
              }),
            }),
          )
          .default([]),
      }),
    )
    .default([]),
});

const filterShape = z.object({ typed_config: fields.default({}) });
const chainShape = z.object({ filters: z.array(filterShape) });

const matchShape = z.object({
  prefix: z.string().optional(),
  path: z.string().optional(),
  path_separated_prefix: z.string().optional(),
  safe_regex: z.object({ regex: z.string() }).optional(),
});
const routesShape = z.object({
  virtual_hosts: z
    .array(
      z.object({
        name: z.string(),
        domains: z.array(z.string()).default([]),
        routes: z.array(z.object({ match: matchShape.default({}) })).default([]),
      }),
    )
    .default([]),
});

const tables: Readonly<Record<ResourceKind, Table>> = {
  clusters: {
    headings: ['SERVICE FQDN', 'PORT', 'SUBSET', 'DIRECTION', 'TYPE', 'DESTINATION RULE'],
    rows: ({ name, origins, resource }) => {
      const { type } = clusterShape.parse(resource);
      const { direction, port, subset, host } = partsOf(name);
      return [[host, port, subset, direction, type, originsOf(origins, ['DestinationRule'])]];
    },
  },
  endpoints: {
    headings: ['NAME', 'STATUS', 'LOCALITY', 'CLUSTER'],
    rows: ({ name, resource }) =>
      assignmentShape.parse(resource).endpoints.flatMap(({ locality, lb_endpoints }) =>
        lb_endpoints.map(({ health_status, endpoint: { address } }) => {
          const { address: host, port_value: port } = address.socket_address;
          const place = [locality.region, locality.zone].filter((part) => part !== '').join('/');
          return [`${host.includes(':') ? `[${host}]` : host}:${port}`, health_status, place || '-', name];
        }),
      ),
  },
  listeners: {
    headings: ['CHAIN', 'MATCH', 'DESTINATION'],
    rows: ({ name, resource }) => {
      const { data: chain } = chainShape.safeParse(resource);
      // What leads to the chains holds none.
      if (chain === undefined) return [];
      const { host, port } = partsOf(name);
      return [[name, port === '-' ? 'ALL' : `${host}:${port}`, destinationOf(chain.filters)]];
    },
  },
  secrets: {
    headings: ['RESOURCE NAME', 'GATEWAY'],
    rows: ({ name, origins }) => [[name, originsOf(origins, gatewayKinds)]],
  },
  routes: {
    headings: ['NAME', 'VHOST NAME', 'DOMAINS', 'MATCH', 'VIRTUAL SERVICE'],
    rows: ({ name, origins, resource }) =>
      routesShape
        .parse(resource)
        .virtual_hosts.flatMap(({ name: host, domains, routes }) =>
          routes.map(({ match }) => [
            name,
            host,
            domainsText(domains),
            matchText(match),
            originsOf(origins, routeKinds),
          ]),
        ),
  },
};

const gatewayKinds = ['Gateway', 'ListenerSet', 'IstioGateway', 'Ingress'];
const routeKinds = ['VirtualService', 'HTTPRoute', 'GRPCRoute', 'TCPRoute', 'TLSRoute'];

interface NameParts {
  readonly direction: string;
  readonly port: string;
  readonly subset: string;
  readonly host: string;
}

/** Of `inbound-vip|PORT|PROTOCOL/SUBSET|HOST`; other names stand for themselves. */
function partsOf(name: string): NameParts {
  const [direction = '', port = '', middle = '', host] = name.split('|');
  if (host === undefined) return { direction: '-', port: '-', subset: '-', host: name };
  const [, subset = ''] = middle.split('/');
  return { direction, port, subset: subset || '-', host };
}

function originsOf(origins: readonly string[], kinds: readonly string[]): string {
  const found = origins.filter((origin) => kinds.includes(origin.split(' ')[0] ?? ''));
  return found.length === 0 ? '-' : found.map((origin) => origin.slice(origin.indexOf(' ') + 1)).join(', ');
}

/** Where the last filter of a chain sends what comes. */
function destinationOf(filters: readonly z.output<typeof filterShape>[]): string {
  const { rds, cluster } = z
    .object({ rds: z.object({ route_config_name: z.string() }).optional(), cluster: z.string().optional() })
    .catch({})
    .parse(filters.at(-1)?.typed_config ?? {});
  if (rds !== undefined) return `Route: ${rds.route_config_name}`;
  return cluster === undefined ? '-' : `Cluster: ${cluster}`;
}

function domainsText(domains: readonly string[]): string {
  const [first = '*', ...others] = domains;
  return others.length === 0 ? first : `${first} + ${others.length} more`;
}

function matchText({
  prefix,
  path,
  path_separated_prefix: segments,
  safe_regex: pattern,
}: z.output<typeof matchShape>): string {
  if (path !== undefined) return path;
  if (segments !== undefined) return `${segments}/*`;
  if (pattern !== undefined) return `regex ${pattern.regex}`;
  return `${prefix ?? '/'}*`;
}
