import type { StringMatchDocument, VirtualHttpMatch } from '../../config/manifests/schemas/virtual-service.ts';
import { anyRequest } from '../http-rules.ts';
import type { HttpMatch, NamedMatch, PathMatch, TextMatch } from '../http-rules.ts';
import { appliesToMesh } from './mesh-gateway.ts';
import type { Notes } from './notes.ts';

/** Istio names these four beside headers, and as headers they mean nothing. */
const notHeaders = ['uri', 'scheme', 'method', 'authority'];

export function matchOf(asked: VirtualHttpMatch | null, field: string, notes: Notes): HttpMatch {
  if (asked === null) return anyRequest;
  for (const name of notHeaders.filter((each) => Object.hasOwn(asked.headers, each)))
    notes.unsupported(
      `${field}.headers.${name}`,
      `it is no header, and is not looked at, as in Istio: say it as ${name} of the match`,
    );
  return {
    path: pathOf(asked),
    method: textOf(asked.method),
    scheme: textOf(asked.scheme),
    authority: textOf(asked.authority),
    headers: namedMatches(asked.headers).filter(({ name }) => !notHeaders.includes(name)),
    withoutHeaders: namedMatches(asked.withoutHeaders),
    query: namedMatches(asked.queryParams),
    sourceNamespace: asked.sourceNamespace,
    sourceLabels: new Map(Object.entries(asked.sourceLabels)),
    grpc: false,
  };
}

interface SourceMatch {
  readonly sourceLabels: Readonly<Record<string, string>>;
  readonly sourceNamespace: string | null;
}

/** Whether it asks for a client whose workload is known: of those who come to a gateway from outside nobody knows any. */
export function isFromMesh({ sourceLabels, sourceNamespace }: SourceMatch): boolean {
  return sourceNamespace !== null || Object.keys(sourceLabels).length > 0;
}

/** Only where nothing but gateways can be meant: what is for the mesh, too, has its effect there. */
export function noteUnheardSource(gateways: readonly string[], field: string, notes: Notes): void {
  if (appliesToMesh(gateways)) return;
  notes.add(
    'Accepted',
    'UnsupportedValue',
    `${field}: of clients from outside neither labels nor namespace are known: at gateways this match never comes true`,
  );
}

function pathOf({ uri, ignoreUriCase }: VirtualHttpMatch): PathMatch {
  const ignoreCase = ignoreUriCase ?? false;
  if (uri === null) return anyRequest.path;
  if (uri.exact !== null) return { kind: 'exact', value: uri.exact, ignoreCase };
  if (uri.prefix !== null) return { kind: 'prefix', value: uri.prefix, ignoreCase };
  return uri.regex === null ? anyRequest.path : { kind: 'regex', value: uri.regex };
}

function textOf(match: StringMatchDocument | null): TextMatch | null {
  return match === null ? null : textMatch(match);
}

export function textMatch({ exact, prefix, regex }: StringMatchDocument): TextMatch {
  if (exact !== null) return { kind: 'exact', value: exact, ignoreCase: false };
  if (prefix !== null) return { kind: 'prefix', value: prefix, ignoreCase: false };
  return regex === null ? { kind: 'present' } : { kind: 'regex', value: regex };
}

function namedMatches(matches: Readonly<Record<string, StringMatchDocument>>): readonly NamedMatch[] {
  return Object.entries(matches).map(([name, match]) => ({ name, value: textMatch(match) }));
}
