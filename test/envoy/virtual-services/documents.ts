import type { Manifest } from '../../support/manifests.ts';
import { ports } from '../../support/envoy/echo/world.ts';

type Fields = Readonly<Record<string, unknown>>;

/** A VirtualService of the host `echo` unless its fields say otherwise. */
export function virtualService(space: string, fields: Fields): Manifest {
  return document('VirtualService', space, { hosts: ['echo'], ...fields });
}

/** One that others may delegate to. */
export function delegate(space: string, name: string, fields: Fields): Manifest {
  return document('VirtualService', space, fields, name);
}

export function destinationRule(space: string, fields: Fields): Manifest {
  return document('DestinationRule', space, { host: 'echo', ...fields });
}

function document(kind: string, space: string, spec: Fields, name = kind.toLowerCase()): Manifest {
  return { apiVersion: 'networking.istio.io/v1', kind, metadata: { name, namespace: space }, spec };
}

/** A destination: one version, at its port of HTTP. */
export function at(version: 'v1' | 'v2', fields: Fields = {}): Fields {
  return { destination: { host: `echo-${version}`, port: { number: ports.otherHttp } }, ...fields };
}

/** What matches goes to the second version, all else to the first. */
export function split(space: string, ...match: readonly Fields[]): Manifest {
  return virtualService(space, { http: [{ match, route: [at('v2')] }, { route: [at('v1')] }] });
}

/** One rule whose requests go to the first version. */
export function one(space: string, rule: Fields): Manifest {
  return virtualService(space, { http: [{ route: [at('v1')], ...rule }] });
}
