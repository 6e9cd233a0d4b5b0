import { fromBinary, toBinary } from '@bufbuild/protobuf';
import type { DescMessage, MessageShape } from '@bufbuild/protobuf';
import { DeltaDiscoveryResponseSchema } from '../../proto/gen/envoy/service/discovery/v3/discovery_pb.ts';
import { encodeResource } from '../resources/encoded-resource.ts';
import type { EncodedResource } from '../resources/encoded-resource.ts';
import type { ResourceType } from './resource-types.ts';

/** A resource of one waypoint, as it goes to its Envoys. */
export interface WaypointResource extends EncodedResource {
  readonly type: ResourceType;
  readonly name: string;
  /** The manifests that it is made of, as conditions name them: whoever hears that Envoy refuses it has to mend one of them. */
  readonly origins: readonly string[];
  /** Nobody knows yet whether there is one: nothing is sent, and nobody is told that there is none. */
  readonly awaited?: true;
}

export function waypointResource<Schema extends DescMessage>(
  type: ResourceType,
  schema: Schema,
  name: string,
  message: MessageShape<Schema>,
  origins: readonly string[],
  mark = '',
): WaypointResource {
  return { type, name, origins, ...encodeResource(name, type, toBinary(schema, message), mark) };
}

/** The message itself, read back from what is sent: nothing else is kept of it. */
export function messageOf<Schema extends DescMessage>(
  { entry }: WaypointResource,
  schema: Schema,
): MessageShape<Schema> {
  const { resources } = fromBinary(DeltaDiscoveryResponseSchema, Buffer.from(entry, 'latin1'));
  return fromBinary(schema, resources[0]?.resource?.value ?? new Uint8Array());
}

/** What sets it apart from all others. @param waypoint `namespace/name` of the Gateway */
export function resourceKey(waypoint: string, { type, name }: Pick<WaypointResource, 'type' | 'name'>): string {
  return `${waypoint} ${type} ${name}`;
}
