import type { Config_TagSchema } from '../../proto/gen/envoy-api/envoy/extensions/access_loggers/stats/v3/stats_pb.ts';
import { TransformStatSchema } from '../../proto/gen/envoy-api/envoy/extensions/matching/actions/transform_stat/v3/transform_stat_pb.ts';
import { StatTagValueInputSchema } from '../../proto/gen/envoy-api/envoy/extensions/matching/common_inputs/stats/v3/stats_pb.ts';
import type {
  Matcher_MatcherList_PredicateSchema,
  Matcher_OnMatchSchema,
  MatcherSchema,
} from '../../proto/gen/envoy-api/xds/type/matcher/v3/matcher_pb.ts';
import { packed } from '../values.ts';
import type { Init } from '../values.ts';

export type Tag = Init<typeof Config_TagSchema>;

/** `grpc` or `http`, by what the request says it carries. */
export const requestProtocol: Tag = {
  name: 'request_protocol',
  valueFormat: '%REQ(CONTENT-TYPE)%',
  rules: rules([{ predicate: valueStartsWith('application/grpc'), onMatch: setTo('grpc') }], setTo('http')),
};

/**
 * The number that gRPC ended with. A server may send any, and each would be a metric of its own: what gRPC does not know
 * is its UNKNOWN. Requests of plain HTTP have no such label.
 */
export const grpcStatus: Tag = {
  name: 'grpc_response_status',
  valueFormat: '%GRPC_STATUS_NUMBER%',
  rules: rules([
    { predicate: valueFits('-?'), onMatch: dropped() },
    { predicate: not(valueFits('[0-9]|1[0-6]')), onMatch: setTo('2') },
  ]),
};

type Predicate = Init<typeof Matcher_MatcherList_PredicateSchema>;
type OnMatch = Init<typeof Matcher_OnMatchSchema>;

function rules(
  matchers: readonly { readonly predicate: Predicate; readonly onMatch: OnMatch }[],
  otherwise?: OnMatch,
): Init<typeof MatcherSchema> {
  return {
    matcherType: { case: 'matcherList', value: { matchers: [...matchers] } },
    ...(otherwise === undefined ? {} : { onNoMatch: otherwise }),
  };
}

type Pattern = NonNullable<
  Extract<NonNullable<Predicate['matchType']>, { case: 'singlePredicate' }>['value']['matcher']
>;

function value(matcher: Pattern): Predicate {
  const input = { name: 'label-value', typedConfig: packed(StatTagValueInputSchema) };
  return { matchType: { case: 'singlePredicate', value: { input, matcher } } };
}

function valueStartsWith(prefix: string): Predicate {
  return value({ case: 'valueMatch', value: { matchPattern: { case: 'prefix', value: prefix }, ignoreCase: true } });
}

/** @param regex of the whole value */
function valueFits(regex: string): Predicate {
  const engine = { case: 'googleRe2', value: {} } as const;
  const safeRegex = { case: 'safeRegex', value: { regex, engineType: engine } } as const;
  return value({ case: 'valueMatch', value: { matchPattern: safeRegex } });
}

function not(predicate: Predicate): Predicate {
  return { matchType: { case: 'notMatcher', value: predicate } };
}

function setTo(newTagValue: string): OnMatch {
  return transform({ action: { case: 'updateTag', value: { newTagValue } } });
}

function dropped(): OnMatch {
  return transform({ action: { case: 'dropTag', value: {} } });
}

function transform(action: Init<typeof TransformStatSchema>): OnMatch {
  return { onMatch: { case: 'action', value: { name: 'label', typedConfig: packed(TransformStatSchema, action) } } };
}
