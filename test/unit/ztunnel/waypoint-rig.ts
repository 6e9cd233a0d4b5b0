import assert from 'node:assert/strict';
import type { Service, WaypointReference, Workload } from '../../../src/model/workload.ts';
import type { InboundQuestion, OutboundQuestion } from '../../../src/native/binding.ts';
import type { OutboundDecision } from '../../../src/ztunnel/outbound.ts';
import { differenceOf } from '../../../src/ztunnel/state-difference.ts';
import { WorkloadStore } from '../../../src/ztunnel/workload-store.ts';
import { NODE, identity, localPod, meshState, service, serviceKey, workload } from '../../support/mesh-builders.ts';
import type { StateParts } from '../../support/mesh-builders.ts';

export const terms = { required: false, whenUnready: 'refuse' } as const;
const mesh = { name: 'w', vips: ['10.96.0.9', 'fd00:96::9'], ports: new Map([[15008, 15008]]) };
export const gateway = service('w', mesh);

export function reference(of: Service = gateway, overrides: Partial<WaypointReference> = {}): WaypointReference {
  const { namespace, hostname } = of;
  return { ...{ kind: 'hostname', namespace, hostname, port: 15008 }, ...terms, ...overrides } as WaypointReference;
}

/** The port of a service that a workload serves. */
export function endpointOf(of: Service, port = 80, target = 8080): Workload['services'] {
  return new Map([[serviceKey(of), new Map([[port, target]])]]);
}

export const proxy = { protocol: 'proxy', port: 15088 } as const;

export const client = workload('client', { node: NODE, addresses: ['10.1.0.1', 'fd00:1::1'] });
export const envoy = workload('envoy', {
  addresses: ['10.1.0.8', 'fd00:1::8'],
  services: endpointOf(gateway, 15008, 15008),
  applicationTunnel: proxy,
});
export const unready: Workload = { ...envoy, status: 'unhealthy' };
export const required = reference(gateway, { required: true });

export async function storeOf(parts: StateParts, onDemand = false): Promise<WorkloadStore> {
  const store = new WorkloadStore(NODE, meshState(), onDemand);
  store.commit(await differenceOf(meshState(), meshState(parts)));
  return store;
}

export function outboundQuestion(asked: Partial<OutboundQuestion>): OutboundQuestion {
  return { kind: 'outbound', id: 1, pod: localPod(client).uid, destination: '10.96.0.1', port: 80, ...asked };
}

export function inboundQuestion(asked: Partial<InboundQuestion>): InboundQuestion {
  return {
    kind: 'inbound',
    id: 1,
    pod: 'uid-server',
    peer: identity(client),
    source: '10.1.0.1',
    destination: '10.1.0.2',
    port: 8080,
    transport: 'mutual_tls',
    ...asked,
  };
}

export function refusal(decision: OutboundDecision): string {
  assert.equal(decision.action, 'deny');
  return decision.reason;
}
