import { appPod, httpService, waypointGateway, waypointNamespace, waypointPod } from '../../support/waypoint-mesh.ts';

export const waypoint = 'shop/waypoint';
export const host = (name: string, space = 'shop'): string => `${name}.${space}.svc.cluster.local`;
export const vip = (name: string, subset = ''): string => `inbound-vip|80|http${subset}|${host(name)}`;

export const base = [
  waypointNamespace('shop'),
  waypointGateway('shop'),
  waypointPod('shop', '10.0.0.9'),
  httpService('shop', 'web', '10.1.0.1'),
  appPod('shop', 'web', '10.0.0.1'),
];
export const next = [httpService('shop', 'next', '10.1.0.2'), appPod('shop', 'next', '10.0.0.2', { version: 'v2' })];
