import { AmbitError } from '../../config/errors.ts';
import type { ManifestObject } from '../manifest-object.ts';
import { nameOf } from './api-kinds.ts';
import { readObject } from './live-objects.ts';
import type { Api, LiveObject } from './live-objects.ts';
import { poll } from './polling.ts';
import type { Patience } from './polling.ts';

interface DefinitionParts {
  readonly spec?: { readonly versions?: readonly { readonly name: string; readonly served?: boolean }[] };
  readonly status?: {
    readonly conditions?: readonly { readonly type: string; readonly status: string; readonly message?: string }[];
  };
}

/** Versions of a definition that the API server serves. */
export function servedVersions(definition: ManifestObject): readonly string[] {
  const { spec } = definition as DefinitionParts;
  return (spec?.versions ?? []).filter(({ served }) => served === true).map(({ name }) => name);
}

/** The version of one of our definitions that the control plane reads: the one that is stored. */
export function neededVersion(definition: ManifestObject): string {
  return (definition as DefinitionParts).spec?.versions?.[0]?.name ?? '';
}

/** Why objects of the kind cannot be had yet; null: they can. */
export function unestablished(definition: LiveObject): string | null {
  const conditions = (definition as DefinitionParts).status?.conditions ?? [];
  if (conditions.some(({ type, status }) => type === 'Established' && status === 'True')) return null;
  const refused = conditions.find(({ status }) => status === 'False');
  return refused?.message ?? 'the API server has not taken it up yet';
}

/** @throws AmbitError `DEFINITION_NOT_ESTABLISHED` */
export async function waitForDefinitions(
  api: Api,
  definitions: readonly ManifestObject[],
  patience: Patience,
): Promise<void> {
  for (const definition of definitions) {
    let reason = 'it is gone';
    const established = await poll(patience, async () => {
      const live = await readObject(api, definition);
      const missing = live === null ? reason : unestablished(live);
      if (missing !== null) reason = missing;
      return missing === null ? true : null;
    });
    if (established === null) {
      const text = `${nameOf(definition)} is not served: ${reason}. Look at \`kubectl describe crd ${definition.metadata.name}\``;
      throw new AmbitError('DEFINITION_NOT_ESTABLISHED', text);
    }
  }
}
