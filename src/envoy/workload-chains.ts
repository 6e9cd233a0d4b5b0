import { createHash } from 'node:crypto';
import type { BoundWorkload, WorkloadLabels } from './model.ts';
import { directHttp, directTcp } from './names.ts';
import type { Security } from './security/model.ts';

/** Workloads that are named alike, and of which the same is asked, share their chains: where connections go these say themselves. */
export interface WorkloadGroup {
  readonly names: { readonly http: string; readonly tcp: string; readonly routes: string };
  readonly labels: WorkloadLabels | null;
  readonly security: Security;
  readonly workloads: readonly BoundWorkload[];
}

/** Named after what they share, so that pods that come and go, and a change of what is asked, leave the chains of others as they are. */
export function groupWorkloads(workloads: readonly BoundWorkload[]): readonly WorkloadGroup[] {
  const groups = new Map<string, WorkloadGroup & { readonly workloads: BoundWorkload[] }>();
  for (const workload of workloads) {
    const { labels, security } = workload;
    const names = namesOf(workload);
    const known = groups.get(names.http);
    if (known === undefined) groups.set(names.http, { names, labels, security, workloads: [workload] });
    else known.workloads.push(workload);
  }
  return [...groups.values()];
}

/** What is asked of workloads of any name, once for each name of routes. */
export function routesOfWorkloads(workloads: readonly BoundWorkload[]): ReadonlyMap<string, Security> {
  return new Map(workloads.map((workload) => [namesOf(workload).routes, workload.security]));
}

function namesOf({ labels, security }: BoundWorkload): WorkloadGroup['names'] {
  const behind = labels === null ? '' : `|${Object.values(labels).join('|')}`;
  const asked = askedOf(security);
  return { http: directHttp + behind + asked, tcp: directTcp + behind + asked, routes: directHttp + asked };
}

/** By the names of what is asked. */
function askedOf({ issuers, policies, limits }: Security): string {
  const names = [issuers, policies, limits].map((list) => list.map(({ name }) => name).toSorted());
  if (names.every((list) => list.length === 0)) return '';
  return `|${createHash('sha256').update(JSON.stringify(names)).digest('hex').slice(0, 16)}`;
}
