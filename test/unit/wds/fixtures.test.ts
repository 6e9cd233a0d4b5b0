import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { AuthorizationSchema } from '../../../src/proto/gen/istio/security/authorization_pb.ts';
import { IstioCertificateRequestSchema } from '../../../src/proto/gen/istio/v1/auth/ca_pb.ts';
import { AddressSchema, ServiceSchema, WorkloadSchema } from '../../../src/proto/gen/istio/workload/workload_pb.ts';
import { AggregatedDiscoveryService } from '../../../src/proto/gen/envoy/service/discovery/v3/ads_pb.ts';
import {
  DeltaDiscoveryRequestSchema,
  DeltaDiscoveryResponseSchema,
} from '../../../src/proto/gen/envoy/service/discovery/v3/discovery_pb.ts';
import { IstioCertificateService } from '../../../src/proto/gen/istio/v1/auth/ca_pb.ts';
import { grpcPath } from '../../../src/proto/grpc.ts';
import { decodePolicy } from '../../../src/wds/authorization.ts';
import { decodeService, encodeService } from '../../../src/wds/services.ts';
import { decodeWorkload, encodeWorkload } from '../../../src/wds/workloads.ts';
import { service, workload } from '../../support/mesh-builders.ts';
import { bytes, message, number, text, top } from '../../support/wire.ts';

/** Numbers and names here come from the reference of the peers' protocol. */
const ipv4 = Uint8Array.from([10, 0, 0, 7]);

/** A workload as a stock istiod writes it. */
const stockWorkload = top(
  text(1, 'web-1'),
  text(2, 'shop'),
  bytes(3, ipv4),
  text(4, 'net'),
  number(5, 1),
  text(7, 'web'),
  text(9, 'worker-1'),
  text(10, 'web'),
  text(11, 'v1'),
  number(12, 2),
  text(13, 'web-1'),
  text(16, 'shop/only-web'),
  text(20, 'Kubernetes//Pod/shop/web-1'),
  message(22, text(1, 'shop/web.shop.svc.cluster.local'), message(2, message(1, number(1, 80), number(2, 8080)))),
  message(24, text(1, 'eu'), text(2, 'a')),
  message(27, number(1, 3)),
);

test('a workload of a stock istiod is read', () => {
  const { value, problems } = decodeWorkload(fromBinary(WorkloadSchema, stockWorkload), 'net');
  assert.deepEqual(problems, []);
  assert.deepEqual(value, {
    uid: 'Kubernetes//Pod/shop/web-1',
    name: 'web-1',
    namespace: 'shop',
    addresses: ['10.0.0.7'],
    hostNetwork: false,
    hostname: '',
    protocol: 'hbone',
    nativeTunnel: false,
    trustDomain: 'cluster.local',
    serviceAccount: 'web',
    node: 'worker-1',
    workloadName: 'web-1',
    workloadType: 'pod',
    canonicalName: 'web',
    canonicalRevision: 'v1',
    app: '',
    version: '',
    clusterId: 'Kubernetes',
    locality: { region: 'eu', zone: 'a', subzone: '' },
    services: new Map([['shop/web.shop.svc.cluster.local', new Map([[80, 8080]])]]),
    authorizationPolicies: ['shop/only-web'],
    status: 'healthy',
    capacity: 3,
    podUid: null,
    waypoint: null,
    applicationTunnel: null,
    guardedByService: false,
    selectedByNetworkPolicy: true,
  });
});

test('a workload is written as a stock ztunnel reads it, the usual values left out', () => {
  const written = workload('web', { addresses: ['10.0.0.7'], serviceAccount: 'default', podUid: 'u', node: '' });
  const facts = top(text(1, 'u'));
  const expected = top(
    text(1, 'web'),
    text(2, 'default'),
    bytes(3, ipv4),
    number(5, 1),
    text(10, 'web'),
    text(11, 'latest'),
    text(13, 'web'),
    text(20, 'Kubernetes//Pod/default/web'),
    message(
      26,
      text(1, 'ambit.mesh.v1.WorkloadFacts'),
      message(2, text(1, 'type.googleapis.com/ambit.mesh.v1.WorkloadFacts'), bytes(2, facts)),
    ),
  );
  const actual = sortedFields(toBinary(WorkloadSchema, encodeWorkload(written, '')));
  assert.deepEqual(actual, sortedFields(expected));
});

test('a service has the numbers of the wire', () => {
  const written = service('web', {
    vips: ['10.1.0.1'],
    loadBalancing: { mode: 'failover', scopes: ['network', 'region', 'zone'], healthPolicy: 'allow-all' },
  });
  const expected = top(
    text(1, 'web'),
    text(2, 'default'),
    text(3, 'web.default.svc.cluster.local'),
    message(4, bytes(2, Uint8Array.from([10, 1, 0, 1]))),
    message(5, number(1, 80), number(2, 8080)),
    message(8, bytes(1, Uint8Array.from([6, 1, 2])), number(2, 2), number(3, 1)),
    number(11, 1),
  );
  assert.deepEqual(Buffer.from(toBinary(ServiceSchema, encodeService(written, ''))), expected);
});

test('an Address holds a workload under 1 and a service under 2', () => {
  assert.equal(fromBinary(AddressSchema, message(1, stockWorkload)).type.case, 'workload');
  assert.equal(fromBinary(AddressSchema, message(2, text(3, 'h'))).type.case, 'service');
});

test('a policy of a stock istiod is read', () => {
  const match = message(
    2,
    message(4, message(4)),
    message(5, bytes(1, ipv4), number(2, 24)),
    bytes(10, Uint8Array.from([80])),
  );
  const account = message(2, message(11, text(1, 'shop'), text(2, 'web')));
  const stock = top(
    text(1, 'p'),
    text(2, 'shop'),
    number(3, 1),
    number(4, 1),
    message(5, message(1, match, account)),
    number(6, 1),
  );
  const { value, problems } = decodePolicy(fromBinary(AuthorizationSchema, stock));
  assert.deepEqual(problems, []);
  assert.equal(value?.scope, 'namespace');
  assert.equal(value.action, 'deny');
  assert.equal(value.dryRun, true);
  const [first, second] = value.rules[0]?.clauses[0] ?? [];
  assert.deepEqual(first?.notPrincipals, [{ kind: 'presence' }]);
  assert.deepEqual(first.sourceIps, ['10.0.0.0/24']);
  assert.deepEqual(first.notDestinationPorts, [80]);
  assert.deepEqual(second?.serviceAccounts, [{ namespace: 'shop', serviceAccount: 'web' }]);
});

test('fields and enum values of newer peers break nothing', () => {
  const newer = top(stockWorkload, text(99, 'new'), number(12, 77), number(17, 9), number(25, 5));
  const { value } = decodeWorkload(fromBinary(WorkloadSchema, newer), 'net');
  assert.equal(value?.workloadType, 'pod');
  assert.equal(value.status, 'unhealthy');
  assert.equal(value.hostNetwork, false);
});

test('a tunnel that we do not speak is refused by name', () => {
  const { value, problems } = decodeWorkload(fromBinary(WorkloadSchema, top(stockWorkload, number(5, 2))), 'net');
  assert.equal(value, null);
  assert.match(problems.join(), /tunnel protocol 2/);
});

test('an address of another network is not ours to find', () => {
  assert.deepEqual(decodeWorkload(fromBinary(WorkloadSchema, stockWorkload), '').value?.addresses, []);
});

test('blocks of VIPs and bad ports are left out', () => {
  const stock = top(
    text(3, 'h'),
    message(4, bytes(2, ipv4), number(3, 24)),
    message(4, bytes(2, ipv4), number(3, 32)),
    message(5, number(1, 70_000)),
    message(8, number(2, 44), bytes(1, Uint8Array.from([99, 2]))),
  );
  const { value } = decodeService(fromBinary(ServiceSchema, stock), '');
  assert.deepEqual(value?.vips, ['10.0.0.7']);
  assert.equal(value.ports.size, 0);
  assert.deepEqual(value.loadBalancing, { mode: 'standard', scopes: ['zone'], healthPolicy: 'only-healthy' });
});

test('delta xDS has the numbers of the wire', () => {
  const request = fromBinary(
    DeltaDiscoveryRequestSchema,
    top(
      message(1, text(1, 'ztunnel~1.1.1.1~z.ns~ns.svc.cluster.local')),
      text(2, 'type.googleapis.com/istio.workload.Address'),
      text(3, '*'),
      text(4, 'gone'),
      message(5, text(1, 'name'), text(2, 'version')),
      text(6, 'nonce'),
      message(7, number(1, 13), text(2, 'bad')),
    ),
  );
  assert.equal(request.node?.id, 'ztunnel~1.1.1.1~z.ns~ns.svc.cluster.local');
  assert.deepEqual(request.resourceNamesSubscribe, ['*']);
  assert.deepEqual(request.resourceNamesUnsubscribe, ['gone']);
  assert.deepEqual(request.initialResourceVersions, { name: 'version' });
  assert.equal(request.responseNonce, 'nonce');
  assert.equal(request.errorDetail?.message, 'bad');
  const response = fromBinary(
    DeltaDiscoveryResponseSchema,
    top(
      message(2, text(1, 'v'), message(2, text(1, 'url'), bytes(2, ipv4)), text(3, 'n')),
      text(4, 'type'),
      text(5, 'nonce'),
      text(6, 'removed'),
    ),
  );
  assert.equal(response.resources[0]?.name, 'n');
  assert.equal(response.resources[0].version, 'v');
  assert.deepEqual(response.removedResources, ['removed']);
  assert.equal(response.nonce, 'nonce');
});

test('the services have the paths of the wire', () => {
  const { deltaAggregatedResources } = AggregatedDiscoveryService.method;
  assert.equal(
    grpcPath(deltaAggregatedResources),
    '/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources',
  );
  assert.equal(
    grpcPath(IstioCertificateService.method.createCertificate),
    '/istio.v1.auth.IstioCertificateService/CreateCertificate',
  );
});

test('a certificate request has the numbers of the wire', () => {
  const metadata = message(
    4,
    message(1, text(1, 'ImpersonatedIdentity'), message(2, text(3, 'spiffe://td/ns/n/sa/s'))),
  );
  const request = fromBinary(IstioCertificateRequestSchema, top(text(1, 'csr'), number(3, 86_400), metadata));
  assert.equal(request.csr, 'csr');
  assert.equal(request.validityDuration, 86_400n);
  assert.deepEqual(request.metadata, { ImpersonatedIdentity: 'spiffe://td/ns/n/sa/s' });
});

/** Fields in the order of their numbers: an encoder may write them in any. */
function sortedFields(encoded: Uint8Array): readonly string[] {
  const fields: string[] = [];
  for (let at = 0; at < encoded.length;) {
    const start = at;
    const tag = readVarint(encoded, at);
    const value = readVarint(encoded, tag.next);
    at = tag.value % 8 === 2 ? value.next + value.value : value.next;
    fields.push(
      `${String(tag.value >> 3).padStart(3, '0')} ${Buffer.from(encoded.subarray(start, at)).toString('hex')}`,
    );
  }
  return fields.sort();
}

function readVarint(encoded: Uint8Array, from: number): { readonly value: number; readonly next: number } {
  let value = 0;
  for (let at = from, scale = 1; ; at++, scale *= 128) {
    const byte = encoded[at] ?? 0;
    value += (byte % 128) * scale;
    if (byte < 128) return { value, next: at + 1 };
  }
}
