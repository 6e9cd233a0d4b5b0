import type { LabelSelector } from '../../../config/manifests/schemas/common.ts';
import type { Context } from '../../../derive/context.ts';
import { matchesSelector } from '../../../derive/selectors.ts';

/** Whether a namespace has the labels; the one of its own name it has always. */
export function selectsNamespace(
  selector: LabelSelector,
  namespace: string,
  { namespaceLabels }: Pick<Context, 'namespaceLabels'>,
): boolean {
  const labels = namespaceLabels.get(namespace);
  return labels !== undefined && matchesSelector(selector, { 'kubernetes.io/metadata.name': namespace, ...labels });
}
