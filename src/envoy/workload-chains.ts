import type { BoundWorkload, WorkloadLabels } from './model.ts';
import { directHttp, directTcp } from './names.ts';
import type { AccessPolicy, OperationFact, Security, Test } from './security/model.ts';

/** Workloads that are named alike share their chains: where connections go these say themselves. */
export interface WorkloadGroup {
  /** The chain that speaks HTTP has its routes under its own name. */
  readonly names: { readonly http: string; readonly tcp: string };
  readonly labels: WorkloadLabels | null;
  readonly security: Security;
  readonly workloads: readonly BoundWorkload[];
}

/**
 * Named after what the workloads are called alone, and not after what is asked: so pods that come and go leave the chains of others
 * as they are, and a change of policies comes with the routes of the same name, also to connections that are open.
 */
export function groupWorkloads(workloads: readonly BoundWorkload[]): readonly WorkloadGroup[] {
  const groups = new Map<string, [BoundWorkload, ...BoundWorkload[]]>();
  for (const workload of workloads) {
    const key = labelsText(workload.labels);
    const known = groups.get(key);
    if (known === undefined) groups.set(key, [workload]);
    else known.push(workload);
  }
  return [...groups].map(([key, members]) => ({
    names: { http: directHttp + key, tcp: directTcp + key },
    labels: members[0].labels,
    security: sharedSecurity(members),
    workloads: members,
  }));
}

/** Each set of labels has its own text, whatever they hold. */
function labelsText(labels: WorkloadLabels | null): string {
  if (labels === null) return '';
  const texts = Object.values(labels).map((text: string) => text.replace(/[%|]/g, encodeURIComponent));
  return `|${texts.join('|')}`;
}

/** What is asked at any of them, and a policy that is for some of them at their addresses alone. */
function sharedSecurity(workloads: readonly BoundWorkload[]): Security {
  const all = workloads.map(({ security }) => security);
  return {
    issuers: once(
      all.flatMap(({ issuers }) => issuers),
      ({ name }) => name,
    ),
    policies: once(
      all.flatMap(({ policies }) => policies),
      ({ name }) => name,
    ).map((policy) => atIts(policy, workloads)),
    limits: once(
      all.flatMap(({ limits }) => limits),
      ({ name, target }) => `${name} ${target}`,
    ),
  };
}

/** Only what denies is ever for some: what allows is attached to the waypoint, and so for all that it stands before. */
function atIts(policy: AccessPolicy, workloads: readonly BoundWorkload[]): AccessPolicy {
  const guarded = workloads.filter(({ security }) => security.policies.some(({ name }) => name === policy.name));
  if (guarded.length === workloads.length) return policy;
  const there: Test<OperationFact> = { kind: 'any', of: guarded.flatMap(({ addresses }) => addresses.map(atAddress)) };
  const rules = policy.rules.map(({ source, operation }) => ({
    source,
    operation: { kind: 'all' as const, of: [operation, there] },
  }));
  return { ...policy, rules };
}

function atAddress(address: string): OperationFact {
  return { kind: 'destination-address', block: `${address}/${address.includes(':') ? 128 : 32}` };
}

function once<Item>(items: readonly Item[], key: (item: Item) => string): readonly Item[] {
  const byKey = new Map<string, Item>();
  for (const item of items) if (!byKey.has(key(item))) byKey.set(key(item), item);
  return [...byKey.values()];
}
