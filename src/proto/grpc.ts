import { fromBinary, toBinary } from '@bufbuild/protobuf';
import type { DescMessage, DescMethod, MessageShape } from '@bufbuild/protobuf';
import type { MethodDefinition } from '@grpc/grpc-js';

type TypedMethod<Input extends DescMessage, Output extends DescMessage> = DescMethod & {
  readonly input: Input;
  readonly output: Output;
};

/** A method of a generated service as grpc-js wants it: path, kind, and how its messages become bytes. */
export function grpcMethod<Input extends DescMessage, Output extends DescMessage>(
  method: TypedMethod<Input, Output>,
): MethodDefinition<MessageShape<Input>, MessageShape<Output>> {
  const { input, output, methodKind } = method;
  const path = grpcPath(method);
  return {
    path,
    originalName: method.localName,
    requestStream: methodKind === 'client_streaming' || methodKind === 'bidi_streaming',
    responseStream: methodKind === 'server_streaming' || methodKind === 'bidi_streaming',
    ...codec('request', input),
    ...codec('response', output),
  };
}

/** `/package.Service/Method`. */
export function grpcPath({ parent, name }: DescMethod): string {
  return `/${parent.typeName}/${name}`;
}

type Codec<Side extends string, Message> = Readonly<
  Record<`${Side}Serialize`, (message: Message) => Buffer> & Record<`${Side}Deserialize`, (bytes: Buffer) => Message>
>;

/** Fields that we do not know are dropped while reading: they would be memory that a peer can grow. */
function codec<Side extends 'request' | 'response', Schema extends DescMessage>(
  side: Side,
  schema: Schema,
): Codec<Side, MessageShape<Schema>> {
  return {
    [`${side}Serialize`]: (message: MessageShape<Schema>) => Buffer.from(toBinary(schema, message)),
    [`${side}Deserialize`]: (bytes: Buffer) => fromBinary(schema, bytes, { readUnknownFields: false }),
    // A computed key of a template type loses its name in the literal's type.
  } as Codec<Side, MessageShape<Schema>>;
}
