import type { TlsRouteDocument } from '../../config/manifests/schemas/connection-routes.ts';
import type { ConnectionRule } from '../model.ts';
import { connectionTargets } from './connection-targets.ts';
import { Backends, gatewayGroup } from './lookups.ts';
import type { RouteLookups } from './lookups.ts';
import { Notes } from './notes.ts';
import type { ConvertedRoute } from './precedence.ts';

const kind = 'TLSRoute';

/** TLS is passed through: of it only the name that its client asks for is read. */
export function convertTlsRoute(document: TlsRouteDocument, lookups: RouteLookups): ConvertedRoute<ConnectionRule> {
  const { namespace, name, creationTimestamp } = document.metadata;
  const notes = new Notes(kind, document);
  const backends = new Backends(lookups, notes, { group: gatewayGroup, kind, namespace });
  const { hostnames, rules: asked } = document.spec;
  if (asked.length > 1) notes.unsupported('spec.rules', 'only the first rule counts: a name matches every one');
  const rules = asked.slice(0, 1).map((rule) => ({
    name: `${namespace}/${name}/${rule.name ?? 0}`,
    serverNames: hostnames,
    targets: connectionTargets(rule.backendRefs, 'spec.rules[0]', backends),
  }));
  return {
    kind,
    name: `${namespace}/${name}`,
    namespace,
    created: creationTimestamp,
    rules,
    conditions: notes.conditions,
  };
}
