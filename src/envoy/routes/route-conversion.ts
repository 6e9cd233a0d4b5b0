import type { ParentReference } from '../../config/manifests/schemas/gateway-common.ts';
import { gatewayGroup } from './groups.ts';
import { Backends } from './lookups.ts';
import type { RouteLookups } from './lookups.ts';
import { Notes } from './notes.ts';
import type { Named } from './notes.ts';
import { isServiceParent, parentText } from './parents.ts';
import type { ConvertedRoute } from './precedence.ts';

/** What the rules of one route are read with. */
export interface Conversion {
  readonly notes: Notes;
  readonly backends: Backends;
}

/** What routes of every kind say. */
interface RouteDocument extends Named {
  readonly spec: {
    readonly parentRefs: readonly ParentReference[];
    readonly useDefaultGateways?: unknown;
    readonly hostnames?: readonly string[];
  };
}

/** A route of the Gateway API in our words. Its parents are not looked at: whoever merges routes knows where they are attached. */
export function convertRoute<Rule>(
  kind: string,
  document: RouteDocument,
  lookups: RouteLookups,
  rulesOf: (routeName: string, conversion: Conversion) => readonly Rule[],
): ConvertedRoute<Rule> {
  const { namespace, name, creationTimestamp } = document.metadata;
  const notes = new Notes(kind, document);
  const { parentRefs, useDefaultGateways, hostnames = [] } = document.spec;
  if (useDefaultGateways !== undefined)
    notes.unsupported('spec.useDefaultGateways', 'it is not supported: the route is attached to what it names itself');
  const backends = new Backends(lookups, notes, { group: gatewayGroup, kind, namespace }, parentRefs);
  const routeName = `${namespace}/${name}`;
  const rules = rulesOf(routeName, { notes, backends });
  const { conditions } = notes;
  const { lent } = backends;
  return { kind, name: routeName, namespace, created: creationTimestamp, hostnames, rules, conditions, lent };
}

/** Told of each parent that is a service: at gateways they count. */
export function noteHostnames({ metadata, spec }: RouteDocument, notes: Notes): void {
  if ((spec.hostnames ?? []).length === 0) return;
  for (const parent of spec.parentRefs.filter(isServiceParent)) {
    notes.unsupported(
      'spec.hostnames',
      'of a route on a service it is not looked at: the address that was asked for counts',
      parentText(parent, metadata.namespace),
    );
  }
}
