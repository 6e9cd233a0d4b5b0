import type { ManifestProblem } from './resources.ts';
import type { ManifestState, StoredDocument } from './store.ts';

/**
 * A UID that a pod in force has stays that pod's: another one that claims it is left out, because a copied manifest would
 * otherwise take the first pod out of the mesh. Where nobody had it before, deriving takes none of them in.
 */
export function podUidUsurpers(state: ManifestState, previous: ManifestState): ReadonlyMap<string, ManifestProblem> {
  const usurpers = new Map<string, ManifestProblem>();
  for (const claimants of claimantsByUid(state)) {
    const holder = claimants.find((claimant) => uidOf(previous.get(claimant.key)) === uidOf(claimant));
    if (holder === undefined) continue;
    for (const claimant of claimants) if (claimant !== holder) usurpers.set(claimant.key, usurped(claimant, holder));
  }
  return usurpers;
}

/** Only UIDs that several pods claim. */
function claimantsByUid(state: ManifestState): readonly (readonly StoredDocument[])[] {
  const claimants = new Map<string, StoredDocument[]>();
  for (const document of state.values()) {
    const uid = uidOf(document);
    if (uid === null) continue;
    const known = claimants.get(uid);
    if (known === undefined) claimants.set(uid, [document]);
    else known.push(document);
  }
  return [...claimants.values()].filter((list) => list.length > 1);
}

function uidOf(stored: StoredDocument | undefined): string | null {
  return stored?.resource.kind === 'Pod' ? stored.resource.document.metadata.uid : null;
}

function usurped({ key, file, line }: StoredDocument, holder: StoredDocument): ManifestProblem {
  const message = `is that of ${holder.key} (${holder.file}:${holder.line}) already: nothing of this pod is in force`;
  return { severity: 'error', file, line, resource: key.replace('/', ' '), field: 'metadata.uid', message };
}
