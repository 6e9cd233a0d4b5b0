import type {
  VirtualHttpMatch,
  VirtualHttpRoute,
  VirtualServiceDocument,
} from '../../config/manifests/schemas/virtual-service.ts';
import { delegatedMatches } from './delegated-matches.ts';
import { isExportedTo } from './exports.ts';
import { istioGroup } from './groups.ts';
import type { RouteLookups } from './lookups.ts';
import { fullGateways } from './mesh-gateway.ts';

/** A rule with the VirtualService that it is written in: its hosts and permissions are those of that one's namespace. */
export interface WrittenRule {
  readonly document: VirtualServiceDocument;
  /** In that document. */
  readonly field: string;
  /** By which logs, metrics and limits know it: that of the VirtualService which has the hosts. */
  readonly name: string;
  readonly rule: VirtualHttpRoute;
  /** Why nothing can be sent by it: what it matches is refused. null: it is in force. */
  readonly problem: string | null;
  /** Rules of a delegate that are left out, each with its place in the delegate. */
  readonly omitted: readonly OmittedRule[];
}

export interface OmittedRule {
  readonly document: VirtualServiceDocument;
  readonly field: string;
  readonly reason: string;
}

/** What delegates are found and let by. */
type DelegateLookups = Pick<RouteLookups, 'virtualService' | 'granted'>;

/** All rules of a VirtualService for requests, those of its delegates where it leads to them: one level, as in Istio. */
export function writtenRules(document: VirtualServiceDocument, lookups: DelegateLookups): readonly WrittenRule[] {
  const { namespace, name } = document.metadata;
  return document.spec.http.flatMap((rule, index) => {
    const own = plain(document, rule, `spec.http[${index}]`, `${namespace}/${name}/${rule.name ?? index}`);
    return rule.delegate === null ? [own] : delegated(own, lookups);
  });
}

function plain(document: VirtualServiceDocument, rule: VirtualHttpRoute, field: string, name: string): WrittenRule {
  return { document, rule, field, name, problem: null, omitted: [] };
}

function delegated(root: WrittenRule, lookups: DelegateLookups): readonly WrittenRule[] {
  const own = root.document.metadata.namespace;
  const { name, namespace } = root.rule.delegate ?? { name: null, namespace: null };
  const [asked, at] = [name ?? '', namespace ?? own];
  const delegate = lookups.virtualService(at, asked);
  // What is kept from a namespace is not there for it: it is told no more of it.
  if (delegate === undefined || !isExportedTo(own, delegate.spec.exportTo, at))
    return [{ ...root, problem: `there is no VirtualService ${at}/${asked} for the namespace ${own}` }];
  if (!isLent(delegate, own, lookups)) return [{ ...root, problem: notLent(delegate, own) }];
  if (delegate.spec.hosts.length > 0 || delegate.spec.gateways.length > 0)
    return [{ ...root, problem: `VirtualService ${at}/${asked} has hosts or gateways, so it is no delegate` }];
  return merged(root, delegate);
}

/**
 * Its rules lead where its own namespace may, whoever comes by them: that another namespace's clients do has to be its own word, and
 * that it says nothing is none.
 */
function isLent({ metadata, spec }: VirtualServiceDocument, own: string, { granted }: DelegateLookups): boolean {
  const { namespace, name } = metadata;
  if (namespace === own || spec.exportTo.length > 0) return true;
  const kind = { group: istioGroup, kind: 'VirtualService' };
  return granted({ ...kind, namespace: own }, { ...kind, namespace, name });
}

function notLent(delegate: VirtualServiceDocument, own: string): string {
  const word = `${own} or * in its exportTo, or a ReferenceGrant there for VirtualServices of ${own}, would`;
  return `${textOf(delegate)} does not let the namespace ${own} delegate to it: ${word}`;
}

function merged(root: WrittenRule, delegate: VirtualServiceDocument): readonly WrittenRule[] {
  const own = root.document.metadata.namespace;
  const kept: WrittenRule[] = [];
  const omitted: OmittedRule[] = [];
  for (const [index, rule] of delegate.spec.http.entries()) {
    const field = `spec.http[${index}]`;
    const matches = delegatedMatches(
      root.rule.match.map((match) => withFullGateways(match, own)),
      rule.match.map((match) => withFullGateways(match, delegate.metadata.namespace)),
    );
    if (rule.delegate !== null)
      omitted.push({ document: delegate, field, reason: 'a delegate cannot delegate: the rule is left out' });
    else if (matches === null) omitted.push({ document: delegate, field: `${field}.match`, reason: beyond(root) });
    else
      kept.push(plain(delegate, withDefaults(rule, root.rule, matches), field, `${root.name}-${rule.name ?? index}`));
  }
  if (kept.length === 0)
    return [{ ...root, problem: `no rule of ${textOf(delegate)} is within what it matches`, omitted }];
  return kept.map((rule, index) => (index === 0 ? { ...rule, omitted } : rule));
}

function beyond({ document, field }: WrittenRule): string {
  return `it is not within what ${field} of ${textOf(document)} delegates: the rule is left out`;
}

function textOf({ metadata: { namespace, name } }: VirtualServiceDocument): string {
  return `VirtualService ${namespace}/${name}`;
}

/** Short names mean another Gateway in another namespace. */
function withFullGateways(match: VirtualHttpMatch, namespace: string): VirtualHttpMatch {
  return { ...match, gateways: [...fullGateways(match.gateways, namespace)] };
}

/** What the delegate does not say holds as the rule that leads to it says. */
function withDefaults(
  rule: VirtualHttpRoute,
  root: VirtualHttpRoute,
  matches: readonly VirtualHttpMatch[],
): VirtualHttpRoute {
  const mirrors = rule.mirror === null && rule.mirrors.length === 0 ? root : rule;
  return {
    ...rule,
    match: [...matches],
    rewrite: rule.rewrite ?? root.rewrite,
    timeout: rule.timeout ?? root.timeout,
    retries: rule.retries ?? root.retries,
    fault: rule.fault ?? root.fault,
    mirror: mirrors.mirror,
    mirrors: mirrors.mirrors,
    mirrorPercent: mirrors.mirrorPercent,
    mirrorPercentage: mirrors.mirrorPercentage,
    corsPolicy: rule.corsPolicy ?? root.corsPolicy,
    headers: rule.headers ?? root.headers,
  };
}
