import type { DocumentChanges } from '../config/mesh-input.ts';
import type { MeshState } from '../model/workload.ts';
import { MeshDerivation } from './mesh-derivation.ts';
import type { MeshDerivationOptions } from './mesh-derivation.ts';

/** What documents mean, worked out at one go. @throws what keeps an item from being worked out */
export function deriveMeshState(documents: DocumentChanges, options: Pick<MeshDerivationOptions, 'node'>): MeshState {
  const derivation = new MeshDerivation({ ...options, now: () => 0 });
  const steps = derivation.update(documents);
  for (;;) {
    const step = steps.next();
    if (step.done !== true) continue;
    const [failure] = step.value.failures;
    if (failure !== undefined) throw failure.error;
    return step.value.commit().next;
  }
}
