import { toBinary } from '@bufbuild/protobuf';
import type { DescMessage, MessageShape } from '@bufbuild/protobuf';
import { encodeResource } from '../resources/encoded-resource.ts';
import type { EncodedResource } from '../resources/encoded-resource.ts';
import type { ResourceType } from './resource-types.ts';

/** A resource of one waypoint, as it goes to its Envoys. */
export interface WaypointResource extends EncodedResource {
  readonly type: ResourceType;
  readonly name: string;
  /** The manifests that it is made of, as conditions name them: whoever hears that Envoy refuses it has to mend one of them. */
  readonly origins: readonly string[];
}

export function waypointResource<Schema extends DescMessage>(
  type: ResourceType,
  schema: Schema,
  name: string,
  message: MessageShape<Schema>,
  origins: readonly string[],
): WaypointResource {
  return { type, name, origins, ...encodeResource(name, type, toBinary(schema, message)) };
}

/** What sets it apart from all others. @param waypoint `namespace/name` of the Gateway */
export function resourceKey(waypoint: string, { type, name }: Pick<WaypointResource, 'type' | 'name'>): string {
  return `${waypoint} ${type} ${name}`;
}
