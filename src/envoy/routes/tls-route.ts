import type { TlsRouteDocument } from '../../config/manifests/schemas/connection-routes.ts';
import type { ConnectionRule } from '../model.ts';
import { connectionTargets } from './connection-targets.ts';
import type { RouteLookups } from './lookups.ts';
import type { ConvertedRoute } from './precedence.ts';
import { convertRoute } from './route-conversion.ts';

/** TLS is passed through: of it only the name that its client asks for is read. */
export function convertTlsRoute(document: TlsRouteDocument, lookups: RouteLookups): ConvertedRoute<ConnectionRule> {
  const { spec } = document;
  return convertRoute('TLSRoute', document, lookups, (routeName, { notes, backends }) => {
    if (spec.rules.length > 1) notes.unsupported('spec.rules', 'only the first rule counts: a name matches every one');
    return spec.rules.slice(0, 1).map((rule) => ({
      name: `${routeName}/${rule.name ?? 0}`,
      serverNames: spec.hostnames,
      from: null,
      targets: connectionTargets(rule.backendRefs, 'spec.rules[0]', backends),
    }));
  });
}
