import { namespaceName, resourceName } from '../../config/manifests/schemas/common.ts';

/** An object that others name. */
export interface ObjectReference {
  readonly kind: NamedKind;
  readonly namespace: string;
  readonly name: string;
}

export const namedKinds = { Secret: 'secrets', ConfigMap: 'configmaps' } as const;

export type NamedKind = keyof typeof namedKinds;

/** As it is told: `Secret shop/certificate`. */
export function referenceText({ kind, namespace, name }: ObjectReference): string {
  return `${kind} ${namespace}/${name}`;
}

/** Null for what can be no object's name: it becomes part of a path. */
export function parseReference(text: string): ObjectReference | null {
  const [, kind = '', namespace = '', name = ''] = /^(\w+) ([^/ ]+)\/([^/ ]+)$/.exec(text) ?? [];
  if (!Object.hasOwn(namedKinds, kind)) return null;
  if (!namespaceName.safeParse(namespace).success || !resourceName.safeParse(name).success) return null;
  return { kind: kind as NamedKind, namespace, name };
}
