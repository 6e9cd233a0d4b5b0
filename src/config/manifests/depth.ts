import type { CST } from 'yaml';

/**
 * Composing a YAML document recurses, and at the end of the stack V8 may end the whole process rather than throw (its
 * regular expressions are compiled there too). So a document is measured before, without recursion.
 */
export function isDeeperThan(token: CST.Token, limit: number): boolean {
  const waiting: { readonly token: CST.Token; readonly depth: number }[] = [{ token, depth: 0 }];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    if (next.depth > limit) return true;
    for (const child of childrenOf(next.token)) waiting.push({ token: child, depth: next.depth + 1 });
  }
  return false;
}

function childrenOf(token: CST.Token): readonly CST.Token[] {
  if (token.type === 'document') return token.value === undefined ? [] : [token.value];
  if (!('items' in token)) return [];
  return token.items.flatMap(({ key, value }) => [key, value].filter((child) => child !== undefined && child !== null));
}
