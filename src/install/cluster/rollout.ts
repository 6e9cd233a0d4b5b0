import { AmbitError } from '../../config/errors.ts';
import type { ManifestObject } from '../manifest-object.ts';
import { nameOf } from './api-kinds.ts';
import { listPath, readObject } from './live-objects.ts';
import type { Api, LiveObject } from './live-objects.ts';
import { poll } from './polling.ts';
import type { Patience } from './polling.ts';

interface Workload {
  readonly spec?: {
    readonly replicas?: number;
    readonly selector?: { readonly matchLabels?: Readonly<Record<string, string>> };
  };
  readonly status?: {
    readonly observedGeneration?: number;
    readonly replicas?: number;
    readonly updatedReplicas?: number;
    readonly availableReplicas?: number;
    readonly desiredNumberScheduled?: number;
    readonly updatedNumberScheduled?: number;
    readonly numberAvailable?: number;
  };
}

interface PodParts {
  readonly metadata: { readonly name: string };
  readonly spec?: { readonly nodeName?: string };
  readonly status?: {
    readonly conditions?: readonly { readonly status: string; readonly message?: string }[];
    readonly containerStatuses?: readonly {
      readonly ready?: boolean;
      readonly state?: { readonly waiting?: { readonly reason?: string; readonly message?: string } };
    }[];
  };
}

const MOST_PODS = 5;

/** What a Deployment or DaemonSet still lacks; null: all its pods are of the newest kind, and available. */
export function unfinished(live: LiveObject): string | null {
  const { spec = {}, status = {} } = live as Workload;
  if ((status.observedGeneration ?? 0) < (live.metadata.generation ?? 0))
    return 'its controller has not looked at it yet';
  const wanted = live.kind === 'DaemonSet' ? (status.desiredNumberScheduled ?? 0) : (spec.replicas ?? 1);
  const updated = (live.kind === 'DaemonSet' ? status.updatedNumberScheduled : status.updatedReplicas) ?? 0;
  const available = (live.kind === 'DaemonSet' ? status.numberAvailable : status.availableReplicas) ?? 0;
  if (updated < wanted) return `${updated} of ${wanted} pods are of this version`;
  if (available < wanted) return `${available} of ${wanted} pods are available`;
  const old = (status.replicas ?? updated) - updated;
  return old > 0 ? `${old} former pods are still there` : null;
}

/** Waits for every Deployment and DaemonSet of them. @throws AmbitError `ROLLOUT_UNFINISHED` with what its pods say */
export async function waitForRollout(api: Api, objects: readonly ManifestObject[], patience: Patience): Promise<void> {
  const end = patience.timers.now() + patience.limit;
  for (const object of objects.filter(isWorkload)) {
    let missing = 'it is gone';
    const limit = Math.max(0, end - patience.timers.now());
    const finished = await poll({ ...patience, limit }, async () => {
      const live = await readObject(api, object);
      const lacks = live === null ? 'it is gone' : unfinished(live);
      if (lacks !== null) missing = lacks;
      return lacks === null ? true : null;
    });
    if (finished === null) {
      const pods = await troubledPods(api, object);
      const text = [`${nameOf(object)} is not rolled out in time: ${missing}`, ...pods].join('\n  ');
      throw new AmbitError('ROLLOUT_UNFINISHED', text);
    }
  }
}

export function isWorkload({ kind }: ManifestObject): boolean {
  return kind === 'Deployment' || kind === 'DaemonSet';
}

async function troubledPods(api: Api, object: ManifestObject): Promise<readonly string[]> {
  const labels = Object.entries((object as Workload).spec?.selector?.matchLabels ?? {});
  const labelSelector = labels.map(([name, value]) => `${name}=${value}`).join(',');
  const pods = await listPath(api, `/api/v1/namespaces/${object.metadata.namespace ?? ''}/pods`, { labelSelector });
  const lines = pods.map((pod) => describePod(pod as PodParts)).filter((line) => line !== null);
  return lines.slice(0, MOST_PODS);
}

/** Null: it is well. */
function describePod({ metadata, spec, status }: PodParts): string | null {
  const containers = status?.containerStatuses ?? [];
  if (containers.length > 0 && containers.every(({ ready }) => ready === true)) return null;
  const waiting = containers.map(({ state }) => state?.waiting).find((state) => state !== undefined);
  const condition = status?.conditions?.find((entry) => entry.status === 'False' && entry.message !== undefined);
  const reason =
    waiting === undefined ? condition?.message : [waiting.reason, waiting.message].filter(Boolean).join(': ');
  return `pod ${metadata.name} on ${spec?.nodeName ?? 'no node'}: ${reason ?? 'not ready'}`;
}
