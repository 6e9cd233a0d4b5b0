import type { ParentReference } from '../../config/manifests/schemas/gateway-common.ts';
import { condition } from '../../derive/context.ts';
import type { ServiceSource } from '../../derive/service-sources.ts';
import { isServiceParent, parentText } from '../../envoy/routes/parents.ts';
import type { ConvertedRoute } from '../../envoy/routes/precedence.ts';
import type { Condition } from '../../model/workload.ts';

/**
 * Services that a route names as its parents and where it has no effect. Gateways are others' affair.
 *
 * @param found the services of a document, named as `Service namespace/name`
 */
export function parentConditions(
  { kind, name, namespace }: Pick<ConvertedRoute<unknown>, 'kind' | 'name' | 'namespace'>,
  parents: readonly ParentReference[],
  found: (text: string) => readonly ServiceSource[],
): readonly Condition[] {
  return parents.filter(isServiceParent).flatMap((parent) => {
    const text = `${parent.kind} ${parent.namespace ?? namespace}/${parent.name}`;
    const problem = problemOf(parent, text, found(text));
    if (problem === null) return [];
    const told = condition(`${kind} ${name}`, 'Accepted', problem.reason, problem.message);
    return [{ ...told, parent: parentText(parent, namespace) }];
  });
}

function problemOf(
  { port, sectionName }: ParentReference,
  text: string,
  sources: readonly ServiceSource[],
): { readonly reason: string; readonly message: string } | null {
  if (sources.length === 0) return { reason: 'NoMatchingParent', message: `there is no ${text}` };
  const isPort = (source: ServiceSource): boolean =>
    source.ports.some(
      (each) => (port === null || each.port === port) && (sectionName === null || each.name === sectionName),
    );
  if (!sources.some(isPort)) return { reason: 'NoMatchingParent', message: `${text} has no such port` };
  if (sources.some(({ service }) => service.waypoint !== null)) return null;
  return { reason: 'NoWaypoint', message: `${text} has no waypoint, which is where routes have their effect` };
}
