import { create } from '@bufbuild/protobuf';
import type { DescMessage, MessageInitShape, MessageShape } from '@bufbuild/protobuf';
import { anyPack } from '@bufbuild/protobuf/wkt';
import type { Any } from '@bufbuild/protobuf/wkt';
import { ConfigSourceSchema } from '../proto/gen/envoy-api/envoy/config/core/v3/config_source_pb.ts';
import { ApiVersion } from '../proto/gen/envoy-api/envoy/config/core/v3/config_source_pb.ts';
import type { RuntimeFractionalPercentSchema } from '../proto/gen/envoy-api/envoy/config/core/v3/base_pb.ts';
import type { StringMatcherSchema } from '../proto/gen/envoy-api/envoy/type/matcher/v3/string_pb.ts';
import { FractionalPercent_DenominatorType } from '../proto/gen/envoy-api/envoy/type/v3/percent_pb.ts';
import type { FractionalPercentSchema } from '../proto/gen/envoy-api/envoy/type/v3/percent_pb.ts';
import type { TextMatch } from './http-rules.ts';

/** Small values of Envoy's API in their own words. */

/** What a message is made from: plain objects, which can be spread and put together. */
export type Init<Schema extends DescMessage> = Extract<MessageInitShape<Schema>, { readonly $typeName?: never }>;

export function packed<Schema extends DescMessage>(schema: Schema, init?: MessageInitShape<Schema>): Any {
  return anyPack(schema, create(schema, init));
}

/** An extension by the name under which Envoy and its statistics know it. */
export function typed<Schema extends DescMessage>(
  name: string,
  schema: Schema,
  init?: MessageInitShape<Schema>,
): { name: string; configType: { case: 'typedConfig'; value: Any } } {
  return { name, configType: { case: 'typedConfig', value: packed(schema, init) } };
}

/** In whole milliseconds; what is less than one is one, for zero means no limit. */
export function duration(milliseconds: number): { seconds: bigint; nanos: number } {
  const whole = milliseconds > 0 ? Math.max(1, Math.round(milliseconds)) : 0;
  return { seconds: BigInt(Math.floor(whole / 1000)), nanos: (whole % 1000) * 1_000_000 };
}

/** A field that is not set at all where there is nothing to say. */
export function given<Value, Result>(value: Value | null, make: (value: Value) => Result): Result | undefined {
  return value === null ? undefined : make(value);
}

/** A share of 100, to a ten-thousandth of one. */
export function fraction(percent: number): Init<typeof FractionalPercentSchema> {
  return { numerator: Math.round(percent * 10_000), denominator: FractionalPercent_DenominatorType.MILLION };
}

export function runtimeFraction(percent: number): Init<typeof RuntimeFractionalPercentSchema> {
  return { defaultValue: fraction(percent) };
}

/** null where presence alone is asked for, which each place writes in its own way. */
export function stringMatcher(match: TextMatch): Init<typeof StringMatcherSchema> | null {
  switch (match.kind) {
    case 'present':
      return null;
    case 'regex':
      return { matchPattern: variant('safeRegex', { regex: match.value }) };
    case 'exact':
    case 'prefix':
    case 'suffix':
      return { matchPattern: variant(match.kind, match.value), ignoreCase: match.ignoreCase };
  }
}

/** One of several. A name that is a type keeps it through a call. */
function variant<Case extends string, Value>(kind: Case, value: Value): { case: Case; value: Value } {
  return { case: kind, value };
}

/** Over the stream that the resource came by. @param patience how long what refers to it waits for it; 15 s unless given */
export function aggregated(patience?: number): MessageShape<typeof ConfigSourceSchema> {
  return create(ConfigSourceSchema, {
    configSourceSpecifier: variant('ads', {}),
    resourceApiVersion: ApiVersion.V3,
    ...(patience === undefined ? {} : { initialFetchTimeout: duration(patience) }),
  });
}

/** The text as a regular expression that matches it alone. */
export function escapeRegex(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');
}

/** A text that Envoy takes as it is where it would replace `%COMMANDS%`. */
export function formatLiteral(text: string): string {
  return text.replaceAll('%', '%%');
}
