import { serviceName } from '../../envoy/metrics/service-name.ts';
import { readClusterStatistics } from '../../envoy/names.ts';
import { familyOf } from './waypoint-families.ts';
import type { WaypointFamily } from './waypoint-families.ts';

/** Samples of one family, as lines of Prometheus' text format. */
export interface FamilyText {
  readonly name: WaypointFamily;
  readonly type: string;
  readonly lines: string;
}

/** Characters that are looked at in one go: a page may be tens of megabytes long. */
const SLICE = 256 * 1024;

/**
 * The families of Envoy's Prometheus page that the agent shows, with names and labels of ours. Yields after each piece of
 * work, null where that has given nothing.
 *
 * @param waypoint `NAMESPACE/POD`: two proxies of a node count alike, and what both say must be told apart
 */
export function* readEnvoyPage(page: string, waypoint: string): Generator<FamilyText | null> {
  let heading = nextHeading(page, 0);
  while (heading !== null) {
    const following = nextHeading(page, heading.end);
    const name = familyOf(heading.name);
    const end = following?.start ?? page.length;
    if (name !== null) yield* readFamily({ ...heading, name }, page.slice(heading.end, end), waypoint);
    else yield null;
    heading = following;
  }
}

interface Heading {
  readonly name: string;
  readonly type: string;
  readonly start: number;
  readonly end: number;
}

const MARK = '# TYPE ';

function nextHeading(page: string, from: number): Heading | null {
  const start = page.indexOf(MARK, from);
  if (start < 0) return null;
  const newline = page.indexOf('\n', start);
  const end = newline < 0 ? page.length : newline + 1;
  const [name = '', type = ''] = page
    .slice(start + MARK.length, end)
    .trim()
    .split(' ');
  return { name, type, start, end };
}

function* readFamily(
  { name, type }: { readonly name: WaypointFamily; readonly type: string },
  samples: string,
  waypoint: string,
): Generator<FamilyText | null> {
  if (name === 'ambit_waypoint_series_overflow_total') yield { name, type, lines: overflow(samples, waypoint) };
  else if (name === 'ambit_rate_limit_requests_total') yield { name, type, lines: limits(samples, waypoint) };
  else if (name.endsWith('_messages_total')) yield { name, type, lines: messages(name, samples, waypoint) };
  else for (const slice of slicesOf(samples)) yield { name, type, lines: relabelled(slice, waypoint) };
}

/** Whole lines. */
function* slicesOf(text: string): Generator<string> {
  for (let start = 0; start < text.length;) {
    const newline = text.indexOf('\n', start + SLICE);
    const end = newline < 0 ? text.length : newline + 1;
    yield text.slice(start, end);
    start = end;
  }
}

/** Istio's boards know `unknown` where Envoy says nothing. */
function relabelled(samples: string, waypoint: string): string {
  return samples
    .replaceAll(/^envoy_(istio_\w+)\{/gm, (_, name: string) => `${name}{waypoint="${waypoint}",`)
    .replaceAll('=""', '="unknown"')
    .replaceAll(/^\n/gm, '');
}

/** What overflowed counts together, whatever it was. */
function overflow(samples: string, waypoint: string): string {
  return [...samples.matchAll(/^envoy_server_stats_overflow_(\w+)\{\} (\d+)$/gm)]
    .map(
      ([, kind, value]) =>
        `ambit_waypoint_series_overflow_total{waypoint="${waypoint}",kind="${kind ?? ''}"} ${value ?? ''}\n`,
    )
    .join('');
}

/** All limits of a waypoint are counted together; Envoy counts what they let through and what they refuse apart. */
function limits(samples: string, waypoint: string): string {
  const pattern = /^\w+_rate_limit_(ok|enforced)\{envoy_local_http_ratelimit_prefix="[^"]*"\} (\d+)$/gm;
  return [...samples.matchAll(pattern)]
    .map(([, kind, value = '']) => {
      const result = kind === 'ok' ? 'let_through' : 'refused';
      return `ambit_rate_limit_requests_total{waypoint="${waypoint}",result="${result}"} ${value}\n`;
    })
    .join('');
}

const ends = ['source', 'destination'] as const;
const endLabels = [
  ...['workload', 'workload_namespace', 'principal', 'app', 'version', 'cluster'],
  ...['canonical_service', 'canonical_revision'],
];
/** Envoy counts messages of a cluster, and does not say between whom. */
const unknownEnds = ends.flatMap((end) => endLabels.map((label) => `${end}_${label}="unknown"`)).join(',');

function messages(name: string, samples: string, waypoint: string): string {
  const counts = new Map<string, number>();
  for (const [, cluster = '', value] of samples.matchAll(/^\w+\{envoy_cluster_name="([^"]*)"\} (\d+)$/gm)) {
    const hostname = readClusterStatistics(cluster)?.hostname;
    // Subsets of one service count as the service.
    if (hostname !== undefined) counts.set(hostname, (counts.get(hostname) ?? 0) + Number(value));
  }
  return [...counts].map(([hostname, count]) => `${name}{${serviceLabels(hostname, waypoint)}} ${count}\n`).join('');
}

function serviceLabels(hostname: string, waypoint: string): string {
  const [, namespace = 'unknown', kind] = hostname.split('.');
  const known = kind === 'svc' ? namespace : 'unknown';
  const service = `destination_service="${hostname}",destination_service_name="${serviceName(hostname, known)}"`;
  const place = `waypoint="${waypoint}",reporter="waypoint",request_protocol="grpc"`;
  return `${place},${unknownEnds},${service},destination_service_namespace="${known}",connection_security_policy="unknown"`;
}
