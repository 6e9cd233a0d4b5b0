import type { PlainBackend } from '../../config/manifests/schemas/gateway-common.ts';
import type { ConnectionTarget } from '../model.ts';
import type { Backends } from './lookups.ts';

/** Where the connections of a rule go, each target with its weight. */
export function connectionTargets(
  backendRefs: readonly PlainBackend[],
  field: string,
  backends: Backends,
): readonly ConnectionTarget[] {
  return backendRefs.map((backend, index) => ({
    destination: backends.resolve(backend, `${field}.backendRefs[${index}]`),
    weight: backend.weight,
  }));
}
