import { HeaderValueOption_HeaderAppendAction as Append } from '../proto/gen/envoy-api/envoy/config/core/v3/base_pb.ts';
import type { HeaderValueOptionSchema } from '../proto/gen/envoy-api/envoy/config/core/v3/base_pb.ts';
import type { HeaderChanges } from './http-rules.ts';
import type { Init } from './values.ts';

type Option = Init<typeof HeaderValueOptionSchema>;

export function requestHeaders(changes: HeaderChanges): {
  requestHeadersToAdd: Option[];
  requestHeadersToRemove: string[];
} {
  return { requestHeadersToAdd: additions(changes), requestHeadersToRemove: [...changes.remove] };
}

export function responseHeaders(changes: HeaderChanges): {
  responseHeadersToAdd: Option[];
  responseHeadersToRemove: string[];
} {
  return { responseHeadersToAdd: additions(changes), responseHeadersToRemove: [...changes.remove] };
}

function additions({ set, add }: HeaderChanges): Option[] {
  return [
    ...set.map((header) => option(header, Append.OVERWRITE_IF_EXISTS_OR_ADD)),
    ...add.map((header) => option(header, Append.APPEND_IF_EXISTS_OR_ADD)),
  ];
}

function option({ name, value }: { readonly name: string; readonly value: string }, appendAction: Append): Option {
  return { header: { key: name, value: value.replaceAll('%', '%%') }, appendAction, keepEmptyValue: true };
}
