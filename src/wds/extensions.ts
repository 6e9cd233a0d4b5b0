import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import type { DescMessage, MessageShape } from '@bufbuild/protobuf';
import { ExtensionSchema } from '../proto/gen/istio/workload/workload_pb.ts';
import type { Extension } from '../proto/gen/istio/workload/workload_pb.ts';

/** What we say of a resource beyond the common schema. */
export function encodeExtension<Schema extends DescMessage>(schema: Schema, message: MessageShape<Schema>): Extension {
  const value = toBinary(schema, message);
  return create(ExtensionSchema, { name: schema.typeName, config: { typeUrl: urlOf(schema), value } });
}

/** Null where the peer says nothing, or nothing readable, beyond the common schema. */
export function decodeExtension<Schema extends DescMessage>(
  schema: Schema,
  extensions: readonly Extension[],
): MessageShape<Schema> | null {
  const config = extensions.find((extension) => extension.config?.typeUrl === urlOf(schema))?.config;
  if (config === undefined) return null;
  try {
    return fromBinary(schema, config.value);
  } catch {
    return null;
  }
}

function urlOf(schema: DescMessage): string {
  return `type.googleapis.com/${schema.typeName}`;
}
