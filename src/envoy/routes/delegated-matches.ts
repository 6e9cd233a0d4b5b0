import type { StringMatchDocument, VirtualHttpMatch } from '../../config/manifests/schemas/virtual-service.ts';

type Matches = Readonly<Record<string, StringMatchDocument>>;

/**
 * What a rule of a delegate matches where the rule that leads to it matches something, too: both have to hold. As in Istio the
 * delegate's must ask for no less than one of the other's.
 *
 * @param root matches of the rule that delegates; none: any request
 * @param leaf those of the delegate's rule, likewise
 * @returns null: some match of the delegate is outside of what was delegated
 */
export function delegatedMatches(
  root: readonly VirtualHttpMatch[],
  leaf: readonly VirtualHttpMatch[],
): readonly VirtualHttpMatch[] | null {
  if (root.length === 0) return leaf;
  if (leaf.length === 0) return root;
  const merged = leaf.map((asked) => root.flatMap((given) => (isWithin(given, asked) ? [both(given, asked)] : [])));
  return merged.some((found) => found.length === 0) ? null : merged.flat();
}

const textFields = ['uri', 'scheme', 'method', 'authority'] as const;
const mapFields = ['headers', 'withoutHeaders', 'queryParams'] as const;
const ownFields = ['port', 'sourceNamespace'] as const;

function isWithin(root: VirtualHttpMatch, leaf: VirtualHttpMatch): boolean {
  return (
    textFields.every((field) => isTextWithin(root[field], leaf[field])) &&
    mapFields.every((field) => areTextsWithin(root[field], leaf[field])) &&
    ownFields.every((field) => root[field] === null || leaf[field] === null || root[field] === leaf[field]) &&
    (root.uri === null || leaf.uri === null || (root.ignoreUriCase ?? false) === (leaf.ignoreUriCase ?? false)) &&
    Object.entries(leaf.sourceLabels).every(([key, value]) => (root.sourceLabels[key] ?? value) === value) &&
    gatewaysOfBoth(root.gateways, leaf.gateways) !== null
  );
}

function areTextsWithin(root: Matches, leaf: Matches): boolean {
  return Object.entries(leaf).every(([name, value]) =>
    isTextWithin(Object.hasOwn(root, name) ? (root[name] ?? null) : null, value),
  );
}

/** Of two patterns nobody can say whether one is within the other. */
function isTextWithin(root: StringMatchDocument | null, leaf: StringMatchDocument | null): boolean {
  if (root === null || leaf === null || isAny(root)) return true;
  if (root.regex !== null || leaf.regex !== null) return root.regex === leaf.regex;
  const wanted = leaf.exact ?? leaf.prefix;
  if (wanted === null) return false;
  if (root.exact !== null) return leaf.exact === root.exact;
  return wanted.startsWith(root.prefix ?? '');
}

/** It asks only that something is there. */
function isAny({ exact, prefix, regex }: StringMatchDocument): boolean {
  return exact === null && prefix === null && regex === null;
}

function both(root: VirtualHttpMatch, leaf: VirtualHttpMatch): VirtualHttpMatch {
  return {
    name: leaf.name ?? root.name,
    uri: leaf.uri ?? root.uri,
    ignoreUriCase: leaf.uri === null ? root.ignoreUriCase : leaf.ignoreUriCase,
    scheme: leaf.scheme ?? root.scheme,
    method: leaf.method ?? root.method,
    authority: leaf.authority ?? root.authority,
    headers: { ...root.headers, ...leaf.headers },
    withoutHeaders: { ...root.withoutHeaders, ...leaf.withoutHeaders },
    queryParams: { ...root.queryParams, ...leaf.queryParams },
    port: leaf.port ?? root.port,
    sourceLabels: { ...root.sourceLabels, ...leaf.sourceLabels },
    sourceNamespace: leaf.sourceNamespace ?? root.sourceNamespace,
    gateways: [...(gatewaysOfBoth(root.gateways, leaf.gateways) ?? [])],
    statPrefix: leaf.statPrefix ?? root.statPrefix,
  };
}

/** null: there is none that both mean. */
function gatewaysOfBoth(root: readonly string[], leaf: readonly string[]): readonly string[] | null {
  if (root.length === 0) return leaf;
  if (leaf.length === 0) return root;
  const common = leaf.filter((name) => root.includes(name));
  return common.length === 0 ? null : common;
}
