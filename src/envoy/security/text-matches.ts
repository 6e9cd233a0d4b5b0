import type { TextMatch } from '../http-rules.ts';
import { escapeRegex } from '../values.ts';
import type { SourceFact, Test } from './model.ts';

/** Istio's patterns of text: `*` alone any, `*x` ends so, `x*` begins so, anything else is meant as it stands. */
export function patternMatch(text: string): TextMatch {
  if (text === '*') return { kind: 'present' };
  if (text.startsWith('*')) return { kind: 'suffix', value: text.slice(1), ignoreCase: false };
  if (text.endsWith('*')) return { kind: 'prefix', value: text.slice(0, -1), ignoreCase: false };
  return { kind: 'exact', value: text, ignoreCase: false };
}

/** @param text a pattern of principals, without `spiffe://` */
export function identityMatch(text: string): TextMatch {
  const match = patternMatch(text);
  if (match.kind !== 'exact' && match.kind !== 'prefix') return match;
  return { ...match, value: `spiffe://${match.value}` };
}

export function namespaceMatch(text: string): TextMatch {
  return { kind: 'regex', value: `spiffe://[^/]+/ns/${wordRegex(patternMatch(text))}/sa/[^/]+` };
}

/** Whatever the trust domain: the handshake has accepted it. */
export function serviceAccountMatch({ namespace, name }: { namespace: string; name: string }): TextMatch {
  return { kind: 'regex', value: `spiffe://[^/]+/ns/${escapeRegex(namespace)}/sa/${escapeRegex(name)}` };
}

/** Within one piece of an identity. */
function wordRegex(match: TextMatch): string {
  switch (match.kind) {
    case 'present':
      return '[^/]+';
    case 'regex':
      return match.value;
    case 'exact':
      return escapeRegex(match.value);
    case 'prefix':
      return `${escapeRegex(match.value)}[^/]*`;
    case 'suffix':
      return `[^/]*${escapeRegex(match.value)}`;
  }
}

/** The case does not count, and a host that says no port is meant on any, with or without the last dot of a DNS name. */
export function hostMatch(text: string): TextMatch {
  const match = patternMatch(text);
  if (match.kind === 'present' || match.kind === 'regex') return match;
  if (match.kind === 'prefix') return { ...match, ignoreCase: true };
  const begin = match.kind === 'suffix' ? '.*' : '';
  const end = /:\d+$/.test(match.value) ? '' : '\\.?(:[0-9]+)?';
  return { kind: 'regex', value: `(?i)${begin}${escapeRegex(match.value)}${end}` };
}

/** What stands for something in a path: one whole segment, and everything from there on. */
const templateSegments: Readonly<Record<string, string>> = { '{*}': '[^/]+', '{**}': '.*' };

/** null: it is neither a pattern nor a template as Istio has them. */
export function pathMatch(text: string): TextMatch | null {
  if (/[{}]/.test(text)) return templateMatch(text);
  const match = patternMatch(text);
  // In the middle it would be taken for itself, which no path has.
  return 'value' in match && match.value.includes('*') ? null : match;
}

function templateMatch(text: string): TextMatch | null {
  const segments = text.split('/');
  const rest = segments.indexOf('{**}');
  const broken = segments.some((segment, index) => {
    const isOperator = Object.hasOwn(templateSegments, segment);
    return isOperator ? rest >= 0 && index > rest : /[*{}]/.test(segment);
  });
  if (broken || !text.startsWith('/')) return null;
  return {
    kind: 'regex',
    value: segments.map((segment) => templateSegments[segment] ?? escapeRegex(segment)).join('/'),
  };
}

const issuer = ['iss'];
const subject = ['sub'];

/**
 * `ISSUER/SUBJECT` of a token. Both may have slashes, so each slash of the pattern may be the one between them.
 */
export function requestPrincipal(text: string): Test<SourceFact> {
  const match = patternMatch(text);
  switch (match.kind) {
    case 'present':
    case 'regex':
      return both({ kind: 'present' }, { kind: 'present' });
    case 'exact':
      return { kind: 'any', of: splits(match.value).map(([left, right]) => both(exactly(left), exactly(right))) };
    case 'prefix':
      return {
        kind: 'any',
        of: [
          both(match, { kind: 'present' }),
          ...splits(match.value).map(([left, right]) => both(exactly(left), beginning(right))),
        ],
      };
    case 'suffix':
      return {
        kind: 'any',
        of: [
          both({ kind: 'present' }, match),
          ...splits(match.value).map(([left, right]) => both(ending(left), exactly(right))),
        ],
      };
  }
}

function both(left: TextMatch, right: TextMatch): Test<SourceFact> {
  return {
    kind: 'all',
    of: [
      { kind: 'claim', path: issuer, match: left },
      { kind: 'claim', path: subject, match: right },
    ],
  };
}

function splits(text: string): readonly (readonly [string, string])[] {
  return [...text.matchAll(/\//g)].map(({ index }) => [text.slice(0, index), text.slice(index + 1)]);
}

function exactly(value: string): TextMatch {
  return { kind: 'exact', value, ignoreCase: false };
}

function beginning(value: string): TextMatch {
  return value === '' ? { kind: 'present' } : { kind: 'prefix', value, ignoreCase: false };
}

function ending(value: string): TextMatch {
  return value === '' ? { kind: 'present' } : { kind: 'suffix', value, ignoreCase: false };
}
