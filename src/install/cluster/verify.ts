import { installation } from '../installation.ts';
import type { Site } from '../objects/common.ts';
import { nameOf } from './api-kinds.ts';
import { unestablished } from './definitions.ts';
import { readObject } from './live-objects.ts';
import type { Api, LiveObject } from './live-objects.ts';
import { planOf } from './plan.ts';
import type { PlannedObject } from './plan.ts';
import { isWorkload, unfinished } from './rollout.ts';

export interface Verified {
  /** `Deployment istio-system/istiod`. */
  readonly name: string;
  /** Empty: it is as it should be. */
  readonly problems: readonly string[];
}

interface WebhookParts {
  readonly webhooks?: readonly { readonly name: string; readonly clientConfig?: { readonly caBundle?: string } }[];
}

/** Each object of the installation, and what is wrong with it. Changes nothing: the API server says what applying would change. */
export async function verify(api: Api, site: Site): Promise<readonly Verified[]> {
  const verified: Verified[] = [];
  for (const planned of await planOf(api, installation(site))) {
    verified.push({ name: nameOf(planned.object), problems: await problemsOf(api, planned) });
  }
  return verified;
}

async function problemsOf(api: Api, { object, step, differences, conflicts, failures }: PlannedObject) {
  const problems = [...failures, ...conflicts];
  if (step === 'create') return [...problems, 'is not there'];
  if (step === 'change') problems.push(`differs from what the values say: ${differences.join(', ')}`);
  const live = await readObject(api, object);
  const state = live === null ? 'is not there' : stateProblem(live);
  return state === null ? problems : [...problems, state];
}

/** Of what others bring about: pods, bundles, served kinds. */
function stateProblem(live: LiveObject): string | null {
  if (isWorkload(live)) return unfinished(live);
  if (live.kind === 'CustomResourceDefinition') return unestablished(live);
  if (live.kind === 'ValidatingWebhookConfiguration') return missingBundle(live);
  return null;
}

function missingBundle(live: LiveObject): string | null {
  const without = ((live as WebhookParts).webhooks ?? []).filter(({ clientConfig }) => !clientConfig?.caBundle);
  if (without.length === 0) return null;
  return `${without.map(({ name }) => name).join(', ')}: the control plane has not put its roots in; is it running?`;
}
