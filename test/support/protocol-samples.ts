import { create, fromBinary, toBinary, toJson } from '@bufbuild/protobuf';
import type { DescMessage, JsonValue } from '@bufbuild/protobuf';

import { parseCniRequest } from '../../src/agent/kubernetes/cni-protocol.ts';
import { InspectionAnswerSchema, InspectionQuestionSchema } from '../../src/proto/gen/ambit/mesh/v1/inspection_pb.ts';
import { typeUrls } from '../../src/wds/names.ts';
import { decodeResource, encodeResource } from '../../src/xds/resources.ts';
import type { MeshResource, SubscribedType } from '../../src/xds/resources.ts';
import { localPod, meshSettings, policy, service, workload } from './mesh-builders.ts';

/** What a version has written, and what it meant by it. */
export interface Recording {
  readonly version: string;
  readonly samples: readonly Sample[];
}

export interface Sample {
  readonly name: string;
  readonly protocol: 'resource' | 'question' | 'answer' | 'cni';
  /** Of resources: their type. */
  readonly type?: SubscribedType;
  /** Base64. */
  readonly bytes: string;
  readonly meaning: unknown;
}

export interface Reading {
  readonly meaning: unknown;
  readonly problems: readonly string[];
}

const network = 'net';

/** What this version makes of the bytes. @throws Error when it can make nothing of them */
export function readSample({ protocol, type }: Pick<Sample, 'protocol' | 'type'>, bytes: Uint8Array): Reading {
  switch (protocol) {
    case 'resource': {
      const typeUrl = type ?? typeUrls.address;
      const any = { $typeName: 'google.protobuf.Any' as const, typeUrl, value: bytes };
      const { value, problems } = decodeResource(typeUrl, any, network);
      return { meaning: plain(value), problems };
    }
    case 'question':
      return { meaning: jsonOf(InspectionQuestionSchema, bytes), problems: [] };
    case 'answer':
      return { meaning: jsonOf(InspectionAnswerSchema, bytes), problems: [] };
    case 'cni':
      return { meaning: plain(parseCniRequest(Buffer.from(bytes).toString())), problems: [] };
  }
}

/** What this version writes: at least one of each kind, with every field that it can set. */
export function record(version: string): Recording {
  const written = [...resources.map(writeResource), ...inspections(), ...cniRequests.map(writeRequest)];
  const samples = written.map((sample) => ({
    ...sample,
    meaning: readSample(sample, Buffer.from(sample.bytes, 'base64')).meaning,
  }));
  return { version, samples };
}

type Written = Omit<Sample, 'meaning'>;

const web = workload('web', {
  addresses: ['10.0.0.7', 'fd00::7'],
  locality: { region: 'eu', zone: 'a', subzone: '1' },
  services: new Map([['default/web.default.svc.cluster.local', new Map([[80, 8080]])]]),
  authorizationPolicies: ['default/ports'],
  capacity: 3,
  app: 'web',
  version: 'v1',
  selectedByNetworkPolicy: true,
});

const rules = {
  principals: [{ kind: 'exact', value: 'cluster.local/ns/default/sa/web' }],
  notNamespaces: [
    { kind: 'prefix', value: 'test-' },
    { kind: 'suffix', value: '-test' },
  ],
  notPrincipals: [{ kind: 'presence' }],
  serviceAccounts: [{ namespace: 'default', serviceAccount: 'web' }],
  sourceIps: ['10.0.0.0/8'],
  notDestinationIps: ['fd00::/64'],
  destinationPorts: [8080],
  notDestinationPorts: [9090],
} as const;

const resources: readonly MeshResource[] = [
  { kind: 'workload', key: web.uid, value: web },
  {
    kind: 'service',
    key: 'default/web.default.svc.cluster.local',
    value: service('web', { vips: ['10.96.0.1'], subjectAltNames: ['spiffe://cluster.local/ns/default/sa/web'] }),
  },
  { kind: 'policy', key: 'default/ports', value: policy('ports', { scope: 'workload-selector' }, rules) },
  { kind: 'policy', key: 'default/tried', value: policy('tried', { action: 'allow', dryRun: true }, {}) },
  {
    kind: 'settings',
    key: 'mesh',
    value: meshSettings({ network, trustDomainAliases: ['old.example'], sameNode: 'tls', unenforceable: 'ignore' }),
  },
  { kind: 'pod', key: 'uid-web', value: localPod(web, { probePorts: [8080, 8081] }) },
];

const typeOf: Readonly<Record<MeshResource['kind'], SubscribedType>> = {
  workload: typeUrls.address,
  service: typeUrls.address,
  policy: typeUrls.authorization,
  settings: typeUrls.meshSettings,
  pod: typeUrls.localPod,
};

function writeResource(resource: MeshResource): Written {
  const bytes = Buffer.from(encodeResource(resource, network)).toString('base64');
  return { name: `${resource.kind} ${resource.key}`, protocol: 'resource', type: typeOf[resource.kind], bytes };
}

function inspections(): readonly Written[] {
  const outbound = { podUid: 'uid-web', destination: '10.0.0.8', port: 80 };
  const inbound = { podUid: 'uid-web', peer: 'spiffe://cluster.local/ns/default/sa/web', source: '10.0.0.8', port: 80 };
  const encode = <Schema extends DescMessage>(schema: Schema, init: Parameters<typeof create<Schema>>[1]): string =>
    Buffer.from(toBinary(schema, create(schema, init))).toString('base64');
  const question = (value: Parameters<typeof create<typeof InspectionQuestionSchema>>[1]): string =>
    encode(InspectionQuestionSchema, value);
  const answer = (value: Parameters<typeof create<typeof InspectionAnswerSchema>>[1]): string =>
    encode(InspectionAnswerSchema, value);
  return [
    {
      name: 'question about what goes out',
      protocol: 'question',
      bytes: question({ id: 1, question: { case: 'outbound', value: outbound } }),
    },
    {
      name: 'question about what comes in',
      protocol: 'question',
      bytes: question({ id: 2, question: { case: 'inbound', value: inbound } }),
    },
    { name: 'who answers', protocol: 'answer', bytes: answer({ content: { case: 'node', value: 'node-1' } }) },
    { name: 'answer', protocol: 'answer', bytes: answer({ id: 1, content: { case: 'explanation', value: '{}' } }) },
    { name: 'failure', protocol: 'answer', bytes: answer({ id: 2, content: { case: 'failure', value: 'no pod' } }) },
  ];
}

/** As the plugin writes them: docs/cni.md. */
const cniRequests: readonly object[] = (['add', 'check'] as const)
  .map((command): object => ({
    version: 1,
    command,
    containerId: 'c1',
    interface: 'eth0',
    pod: { namespace: 'shop', name: 'web', uid: 'uid-web' },
    netns: { path: '/var/run/netns/n1', device: 4, inode: 4026533000 },
    addresses: ['10.0.0.7', 'fd00::7'],
    limitMilliseconds: 25_000,
  }))
  .concat([
    {
      version: 1,
      command: 'delete',
      containerId: 'c1',
      interface: 'eth0',
      pod: { namespace: 'shop', name: 'web', uid: null },
    },
    { version: 1, command: 'gc', attachments: [{ containerId: 'c1', interface: 'eth0' }] },
  ]);

function writeRequest(request: object): Written {
  const text = JSON.stringify(request);
  const name = 'command' in request ? `request ${String(request.command)}` : 'request';
  return { name, protocol: 'cni', bytes: Buffer.from(text).toString('base64') };
}

function jsonOf(schema: DescMessage, bytes: Uint8Array): JsonValue {
  return toJson(schema, fromBinary(schema, bytes), { alwaysEmitImplicit: true });
}

/** As JSON can hold it. */
function plain(value: unknown): unknown {
  return JSON.parse(
    JSON.stringify(value, (_key, part: unknown) => (part instanceof Map ? { map: [...part] as unknown[] } : part)),
  );
}
