import { AmbitError } from '../../config/errors.ts';
import type { InstallerTools } from '../../install/cluster/install.ts';
import { poll } from '../../install/cluster/polling.ts';
import { describeTable } from '../table.ts';
import { Enrolment } from './enrolment.ts';
import { keyOf, programmed, revisionLabel, useLabel, Waypoints } from './gateways.ts';
import type { LiveGateway, WaypointWish } from './gateways.ts';

export interface ApplyOptions {
  readonly wish: WaypointWish;
  readonly enrol: boolean;
  /** Also where the namespace goes through another waypoint. */
  readonly overwrite: boolean;
  /** Milliseconds that it is waited for; null: it is not. */
  readonly wait: number | null;
}

/** @throws AmbitError `WAYPOINT_TAKEN`, `WAYPOINT_NOT_READY`, `NO_WAYPOINT`, `GATEWAY_API_ABSENT` */
export async function applyWaypoint(tools: InstallerTools, options: ApplyOptions): Promise<void> {
  const { wish, enrol, overwrite, wait } = options;
  const { api, report } = tools;
  const key = `${wish.namespace}/${wish.name}`;
  const enrolment = new Enrolment(api, wish.namespace, wish.name);
  const isMember = enrol ? await enrolment.check(overwrite) : true;
  const waypoints = new Waypoints(api);
  await waypoints.apply(wish);
  report(`✅ waypoint ${key} applied`);
  if (wait !== null) {
    await untilReady(tools, waypoints, { namespace: wish.namespace, name: wish.name, limit: wait });
    report(`✅ waypoint ${key} is ready!`);
  }
  if (!enrol) return;
  await enrolment.apply();
  report(`✅ namespace ${wish.namespace} labeled with "${useLabel}: ${wish.name}"`);
  if (!isMember) {
    const label = `kubectl label namespace ${wish.namespace} istio.io/dataplane-mode=ambient`;
    report(`⚠️ the namespace is not of the mesh, so its waypoint is asked by nobody in it: ${label}`);
  }
}

export interface DeleteOptions {
  readonly namespace: string;
  /** null: all. */
  readonly names: readonly string[] | null;
  /** null: of whatever revision. */
  readonly revision: string | null;
}

/** Each is tried, whatever becomes of the others. @throws AmbitError `NO_WAYPOINT` with those that are not there */
export async function deleteWaypoints({ api, report }: InstallerTools, options: DeleteOptions): Promise<void> {
  const { namespace, names, revision } = options;
  const waypoints = new Waypoints(api);
  const isMeant = ({ metadata }: LiveGateway): boolean =>
    revision === null || (metadata.labels?.[revisionLabel] ?? 'default') === revision;
  const all = (await waypoints.list(namespace)).filter(isMeant);
  const chosen = names === null ? all : all.filter(({ metadata }) => names.includes(metadata.name));
  for (const waypoint of chosen) {
    await waypoints.delete(waypoint);
    report(`waypoint ${keyOf(waypoint)} deleted`);
  }
  if (names === null && chosen.length === 0) report('No waypoints found.');
  const missing = (names ?? []).filter((name) => chosen.every(({ metadata }) => metadata.name !== name));
  if (missing.length === 0) return;
  const keys = missing.map((name) => `${namespace}/${name}`).join(', ');
  throw new AmbitError('NO_WAYPOINT', `there is no such waypoint: ${keys}`);
}

/** @param namespace null: of all, which is told of each then */
export async function listWaypoints({ api, report }: InstallerTools, namespace: string | null): Promise<void> {
  const waypoints = new Waypoints(api);
  const found = await waypoints.list(namespace);
  if (found.length === 0) {
    report('No waypoints found.');
    return;
  }
  const rows = found.map(async (waypoint) => [
    ...(namespace === null ? [waypoint.metadata.namespace] : []),
    waypoint.metadata.name,
    waypoint.metadata.labels?.[revisionLabel] ?? 'default',
    await waypoints.trafficTypeOf(waypoint),
    programmed(waypoint)?.status ?? 'Unknown',
  ]);
  const headings = [...(namespace === null ? ['NAMESPACE'] : []), 'NAME', 'REVISION', 'TRAFFIC TYPE', 'PROGRAMMED'];
  report(describeTable(headings, await Promise.all(rows)).trimEnd());
}

export interface StatusOptions {
  /** null: of all. */
  readonly namespace: string | null;
  /** Empty: all. */
  readonly names: readonly string[];
  /** Milliseconds that all may take to be ready; null: it is not waited for. */
  readonly wait: number | null;
}

/** @throws AmbitError `NO_WAYPOINT`, `WAYPOINT_NOT_READY` */
export async function statusOfWaypoints(tools: InstallerTools, options: StatusOptions): Promise<void> {
  const { namespace, names, wait } = options;
  const waypoints = new Waypoints(tools.api);
  const chosen = async (): Promise<readonly LiveGateway[]> => {
    const all = await waypoints.list(namespace);
    return names.length === 0 ? all : all.filter(({ metadata }) => names.includes(metadata.name));
  };
  const ready = async (): Promise<readonly LiveGateway[] | null> => {
    const found = await chosen();
    return found.every((waypoint) => programmed(waypoint)?.status === 'True') ? found : null;
  };
  const all = wait === null ? null : await poll({ ...tools, limit: wait }, ready);
  const found = all ?? (await chosen());
  const missing = names.filter((name) => found.every(({ metadata }) => metadata.name !== name));
  if (missing.length > 0) throw new AmbitError('NO_WAYPOINT', `there is no such waypoint: ${missing.join(', ')}`);
  tools.report(found.length === 0 ? 'No waypoints found.' : statusTable(found, namespace === null));
  if (wait !== null && all === null)
    throw new AmbitError('WAYPOINT_NOT_READY', `not every waypoint is ready after ${wait / 1000} s`);
}

function statusTable(waypoints: readonly LiveGateway[], withNamespace: boolean): string {
  const rows = waypoints.map((waypoint) => {
    const condition = programmed(waypoint);
    return [
      ...(withNamespace ? [waypoint.metadata.namespace] : []),
      waypoint.metadata.name,
      condition?.status ?? 'Unknown',
      'Programmed',
      condition?.reason ?? 'Pending',
      condition?.message ?? 'no control plane has looked at it yet',
    ];
  });
  const headings = [...(withNamespace ? ['NAMESPACE'] : []), 'NAME', 'STATUS', 'TYPE', 'REASON', 'MESSAGE'];
  return describeTable(headings, rows).trimEnd();
}

async function untilReady(
  tools: InstallerTools,
  waypoints: Waypoints,
  { namespace, name, limit }: { readonly namespace: string; readonly name: string; readonly limit: number },
): Promise<void> {
  let last = 'no control plane has looked at it yet';
  const ready = await poll({ ...tools, limit }, async () => {
    const gateway = await waypoints.find(namespace, name);
    const condition = gateway === null ? null : programmed(gateway);
    last = condition?.message ?? last;
    return condition?.status === 'True' ? true : null;
  });
  if (ready !== null) return;
  const advice = `see \`kubectl -n ${namespace} describe gateway ${name}\` and its pods`;
  throw new AmbitError('WAYPOINT_NOT_READY', `the waypoint ${namespace}/${name} is not ready: ${last}; ${advice}`);
}
