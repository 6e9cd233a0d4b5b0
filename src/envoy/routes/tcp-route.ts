import type { TcpRouteDocument } from '../../config/manifests/schemas/connection-routes.ts';
import type { ConnectionRule } from '../model.ts';
import { connectionTargets } from './connection-targets.ts';
import { Backends, gatewayGroup } from './lookups.ts';
import type { RouteLookups } from './lookups.ts';
import { Notes } from './notes.ts';
import type { ConvertedRoute } from './precedence.ts';

const kind = 'TCPRoute';

/** A connection says nothing by which a second rule could be chosen: the first one counts. */
export function convertTcpRoute(document: TcpRouteDocument, lookups: RouteLookups): ConvertedRoute<ConnectionRule> {
  const { namespace, name, creationTimestamp } = document.metadata;
  const notes = new Notes(kind, document);
  const backends = new Backends(lookups, notes, { group: gatewayGroup, kind, namespace });
  const [first, ...rest] = document.spec.rules;
  if (rest.length > 0) notes.unsupported('spec.rules', 'only the first rule counts: a connection matches every one');
  const rules =
    first === undefined
      ? []
      : [
          {
            name: `${namespace}/${name}/${first.name ?? 0}`,
            serverNames: [],
            targets: connectionTargets(first.backendRefs, 'spec.rules[0]', backends),
          },
        ];
  return {
    kind,
    name: `${namespace}/${name}`,
    namespace,
    created: creationTimestamp,
    rules,
    conditions: notes.conditions,
  };
}
