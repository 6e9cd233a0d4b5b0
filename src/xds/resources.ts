import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import type { DescMessage, MessageShape } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import type { Policy } from '../model/policy.ts';
import type { LocalPod, MeshSettings, Service, Workload } from '../model/workload.ts';
import { LocalPodSchema, MeshSettingsSchema } from '../proto/gen/ambit/mesh/v1/mesh_pb.ts';
import { AuthorizationSchema } from '../proto/gen/istio/security/authorization_pb.ts';
import { AddressSchema } from '../proto/gen/istio/workload/workload_pb.ts';
import type { Address } from '../proto/gen/istio/workload/workload_pb.ts';
import { decodePolicy, encodePolicy } from '../wds/authorization.ts';
import type { Decoded } from '../wds/decoded.ts';
import { decodeLocalPod, decodeMeshSettings, encodeLocalPod, encodeMeshSettings } from '../wds/mesh.ts';
import { meshSettingsName, policyName, serviceName, typeUrls } from '../wds/names.ts';
import { decodeService, encodeService } from '../wds/services.ts';
import { decodeWorkload, encodeWorkload } from '../wds/workloads.ts';

/** A resource of the control plane as the node knows it. `key` is the key of the map of MeshState that holds it. */
export type MeshResource =
  | { readonly kind: 'workload'; readonly key: string; readonly value: Workload }
  | { readonly kind: 'service'; readonly key: string; readonly value: Service }
  | { readonly kind: 'policy'; readonly key: string; readonly value: Policy }
  | { readonly kind: 'settings'; readonly key: string; readonly value: MeshSettings }
  | { readonly kind: 'pod'; readonly key: string; readonly value: LocalPod };

export type ResourceKey = Pick<MeshResource, 'kind' | 'key'>;

/** The types that the agent subscribes to. */
export type SubscribedType = Exclude<(typeof typeUrls)[keyof typeof typeUrls], typeof typeUrls.workload>;

/** @param network the mesh's own: addresses of others name somebody else here */
type Decoder = (bytes: Uint8Array, network: string) => Decoded<MeshResource>;

const decoders: Readonly<Record<SubscribedType, Decoder>> = {
  [typeUrls.address]: (bytes, network) => decodeAddress(read(AddressSchema, bytes), network),
  [typeUrls.authorization]: (bytes) =>
    keyed('policy', decodePolicy(fromBinary(AuthorizationSchema, bytes)), (value) => policyName(value)),
  [typeUrls.meshSettings]: (bytes) =>
    keyed('settings', decodeMeshSettings(read(MeshSettingsSchema, bytes)), () => meshSettingsName),
  [typeUrls.localPod]: (bytes) => keyed('pod', decodeLocalPod(read(LocalPodSchema, bytes)), ({ uid }) => uid),
};

export function isSubscribedType(typeUrl: string): typeUrl is SubscribedType {
  return Object.hasOwn(decoders, typeUrl);
}

/** Never throws: what cannot be read is a problem of that resource, and the others of its push still count. */
export function decodeResource(
  typeUrl: SubscribedType,
  resource: Any | undefined,
  network: string,
): Decoded<MeshResource> {
  if (resource?.typeUrl !== typeUrl) {
    return { value: null, problems: [`the resource is of type ${JSON.stringify(resource?.typeUrl ?? '')}`] };
  }
  try {
    return decoders[typeUrl](resource.value, network);
  } catch (error) {
    return { value: null, problems: [error instanceof Error ? error.message : String(error)] };
  }
}

function decodeAddress({ type }: Address, network: string): Decoded<MeshResource> {
  switch (type.case) {
    case 'workload':
      return keyed('workload', decodeWorkload(type.value, network), ({ uid }) => uid);
    case 'service':
      return keyed('service', decodeService(type.value, network), serviceName);
    case undefined:
      return { value: null, problems: ['the address is neither a workload nor a service'] };
  }
}

/** The bytes that `decodeResource` reads the same resource from. */
export function encodeResource(resource: MeshResource, network: string): Uint8Array {
  switch (resource.kind) {
    case 'workload': {
      const type = { case: resource.kind, value: encodeWorkload(resource.value, network) };
      return toBinary(AddressSchema, create(AddressSchema, { type }));
    }
    case 'service': {
      const type = { case: resource.kind, value: encodeService(resource.value, network) };
      return toBinary(AddressSchema, create(AddressSchema, { type }));
    }
    case 'policy':
      return toBinary(AuthorizationSchema, encodePolicy(resource.value));
    case 'settings':
      return toBinary(MeshSettingsSchema, encodeMeshSettings(resource.value));
    case 'pod':
      return toBinary(LocalPodSchema, encodeLocalPod(resource.value));
  }
}

type ValueOf<Kind> = Extract<MeshResource, { readonly kind: Kind }>['value'];

function keyed<Kind extends MeshResource['kind']>(
  kind: Kind,
  { value, problems }: Decoded<ValueOf<Kind>>,
  keyOf: (value: ValueOf<Kind>) => string,
): Decoded<MeshResource> {
  if (value === null) return { value: null, problems };
  // One member of the union for each kind: `kind` and `value` come from the same one.
  return { value: { kind, key: keyOf(value), value } as MeshResource, problems };
}

/** Fields of newer peers are dropped: they would be memory that a peer can grow. */
function read<Schema extends DescMessage>(schema: Schema, bytes: Uint8Array): MessageShape<Schema> {
  return fromBinary(schema, bytes, { readUnknownFields: false });
}
