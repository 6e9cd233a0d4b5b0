import type { TcpRouteDocument } from '../../config/manifests/schemas/connection-routes.ts';
import type { ConnectionRule } from '../model.ts';
import { connectionTargets } from './connection-targets.ts';
import type { RouteLookups } from './lookups.ts';
import type { ConvertedRoute } from './precedence.ts';
import { convertRoute } from './route-conversion.ts';

/** A connection says nothing by which a second rule could be chosen: the first one counts. */
export function convertTcpRoute(document: TcpRouteDocument, lookups: RouteLookups): ConvertedRoute<ConnectionRule> {
  const { spec } = document;
  return convertRoute('TCPRoute', document, lookups, (routeName, { notes, backends }) => {
    if (spec.rules.length > 1)
      notes.unsupported('spec.rules', 'only the first rule counts: a connection matches every one');
    return spec.rules.slice(0, 1).map((rule) => ({
      name: `${routeName}/${rule.name ?? 0}`,
      serverNames: [],
      from: null,
      targets: connectionTargets(rule.backendRefs, 'spec.rules[0]', backends),
    }));
  });
}
