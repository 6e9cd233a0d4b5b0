import { agentSelector, controlSelector } from '../objects/common.ts';
import { listPath } from './live-objects.ts';
import type { Api } from './live-objects.ts';

/** Versions of running pods, by their images' tags: how many pods have each. */
export type VersionCount = ReadonlyMap<string, number>;

export interface RunningVersions {
  readonly control: VersionCount;
  readonly agents: VersionCount;
}

interface PodParts {
  readonly spec?: { readonly containers?: readonly { readonly name: string; readonly image?: string }[] };
}

export async function runningVersions(api: Api, namespace: string): Promise<RunningVersions> {
  const [control, agents] = await Promise.all([
    versionsOf(api, namespace, controlSelector.app, 'discovery'),
    versionsOf(api, namespace, agentSelector.app, 'istio-proxy'),
  ]);
  return { control, agents };
}

async function versionsOf(api: Api, namespace: string, app: string, container: string): Promise<VersionCount> {
  const labelSelector = `app=${app},app.kubernetes.io/part-of=ambit`;
  const pods = await listPath(api, `/api/v1/namespaces/${namespace}/pods`, { labelSelector });
  const counts = new Map<string, number>();
  for (const pod of pods) {
    const image = (pod as PodParts).spec?.containers?.find(({ name }) => name === container)?.image ?? '';
    const version = tagOf(image);
    counts.set(version, (counts.get(version) ?? 0) + 1);
  }
  return counts;
}

/** `1.2.3` of `registry:5000/ambit/ambit:1.2.3@sha256:…`; what is pinned by its digest alone is known by that. */
export function tagOf(image: string): string {
  const [reference = '', digest = ''] = image.split('@');
  return /:([^:/]+)$/.exec(reference)?.[1] ?? (digest === '' ? 'latest' : digest);
}
