import { authorizationPolicy } from '../../test/support/manifests.ts';
import type { Manifest } from '../../test/support/manifests.ts';
import {
  appPod,
  httpRoute,
  httpService,
  waypointGateway,
  waypointNamespace,
  waypointPod,
} from '../../test/support/waypoint-mesh.ts';

/** A namespace with one waypoint, whose services have a pod and some routes each. */
export function waypointDocuments(services: number, routesEach: number): readonly Manifest[] {
  const each = Array.from({ length: services }, (_, index) => [
    service(index),
    appPod('shop', `s${index}`, blockAddress(0, index)),
    ...Array.from({ length: routesEach }, (_unused, number) => forward(index, number)),
  ]);
  return [waypointNamespace('shop'), waypointGateway('shop'), waypointPod('shop', '10.9.0.1'), ...each.flat()];
}

export function serviceAddress(index: number): string {
  return blockAddress(1, index);
}

export function service(index: number): Manifest {
  return httpService('shop', `s${index}`, serviceAddress(index));
}

export function endpoint(index: number): Manifest {
  return appPod('shop', `s${index}`, blockAddress(2, index));
}

function forward(index: number, number: number): Manifest {
  const matches = [{ path: { type: 'PathPrefix', value: `/${number}` } }];
  return httpRoute('shop', `r${index}-${number}`, `s${index}`, `s${index}`, { matches });
}

/** Answers by itself, so that nobody has to be behind it. */
export function redirect(index: number, hostname: string): Manifest {
  const matches = [{ path: { type: 'PathPrefix', value: '/moved' } }];
  const filters = [{ type: 'RequestRedirect', requestRedirect: { hostname } }];
  return httpRoute('shop', `moved-${index}`, `s${index}`, `s${index}`, { matches, filters, backendRefs: [] });
}

/** Denies the paths below `/denied` and one more. */
export function denial(index: number, path: string): Manifest {
  return authorizationPolicy('shop', 'denial', {
    targetRefs: [{ group: '', kind: 'Service', name: `s${index}` }],
    action: 'DENY',
    rules: [{ to: [{ operation: { paths: ['/denied/*', path] } }] }],
  });
}

function blockAddress(block: number, index: number): string {
  return `10.${block}.${Math.floor(index / 250)}.${(index % 250) + 1}`;
}
