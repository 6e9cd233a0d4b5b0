import { RE2JS, RE2JSException } from 're2js';
import type { HttpMatch, NamedMatch, TextMatch } from './http-rules.ts';
import { labelPattern } from './peer.ts';

/**
 * One pattern that Envoy cannot compile makes it refuse the whole route configuration or listener that it stands in, with whatever
 * else is in there. So patterns of manifests are compiled here first, as RE2 reads them.
 */

/** As Istio's own bound on patterns, and the Gateway API's on paths. Bytes of UTF-8. */
const longestPattern = 1024;
/** Half of what our bootstrap lets Envoy's programs have, for this counts from above and not exactly. */
const largestProgram = 16_384;
/** Verdicts on patterns that were looked at last: a change of one rule converts all rules of its manifest. */
const mostRemembered = 1000;
const remembered = new Map<string, string | null>();

/** @returns what Envoy would refuse the pattern for; null: nothing */
export function regexProblem(pattern: string): string | null {
  if (Buffer.byteLength(pattern) > longestPattern) return `is longer than ${longestPattern} bytes`;
  const known = remembered.get(pattern);
  if (known !== undefined) return known;
  const problem = problemOf(pattern);
  const [oldest] = remembered.keys();
  if (remembered.size >= mostRemembered && oldest !== undefined) remembered.delete(oldest);
  remembered.set(pattern, problem);
  return problem;
}

function problemOf(pattern: string): string | null {
  if (pattern === '') return 'is empty';
  if (/\p{Surrogate}/u.test(pattern)) return 'is no text of Unicode';
  const size = new ProgramSize();
  const problem = size.add(pattern);
  if (problem !== null) return problem;
  if (size.total > largestProgram) return 'repeats more than a waypoint has room for';
  try {
    RE2JS.compile(asBytes(pattern));
    return null;
  } catch (error) {
    if (!(error instanceof RE2JSException)) throw error;
    return error.message.replace(/^error parsing regexp: /, '');
  }
}

/** Envoy reads patterns byte by byte, in UTF-8. */
function asBytes(pattern: string): string {
  return Buffer.from(pattern).toString('latin1');
}

/** `\1` to `\9` of a substitution are groups of the pattern, which has to be a good one. */
export function substitutionProblem(pattern: string, substitution: string): string | null {
  const groups = RE2JS.compile(asBytes(pattern)).groupCount();
  const bad = [...substitution.matchAll(/\\([\s\S]?)/g)].find(
    ([, what = '']) => what !== '\\' && !(/^\d$/.test(what) && Number(what) <= groups),
  );
  return bad === undefined ? null : `${bad[0]} is no group of the pattern, which has ${groups}`;
}

/** As RE2 in C++ has them; what it does not know it refuses, and whoever wrote re2js knows more. */
const categories =
  'Any C Cc Cf Co Cs L Ll Lm Lo Lt Lu M Mc Me Mn N Nd Nl No P Pc Pd Pe Pf Pi Po Ps S Sc Sk Sm So Z Zl Zp Zs';
const properties = new Set(categories.split(' '));

/** A property, a character by its number, or any other that is escaped. */
const escaped = String.raw`\\[pP](?:\{\^?(?<property>[^}]*)\}|(?<letter>[\s\S]))|\\x\{(?<code>[^}]*)\}|\\[\s\S]?`;
const escapes = new RegExp(escaped, 'g');
const tokens = new RegExp(
  [
    String.raw`\\Q(?<quoted>[\s\S]*?)(?:\\E|$)`,
    escaped,
    String.raw`(?<set>\[\^?\]?(?:\[:[^\]]*:\]|\\[\s\S]|[^\]\\])*\]?)`,
    String.raw`\{(?<least>\d+)(?:,(?<most>\d*))?\}`,
    String.raw`[\s\S]`,
  ].join('|'),
  'g',
);

/** Instructions of RE2, counted from above: repetitions are written out, so a short pattern may be a large program. */
const costs = { literal: 2, beyondAscii: 8, escape: 12, set: 12, setCharacter: 4, property: 256 } as const;

/** How large the program of a pattern becomes, counted before it is compiled, which for the largest takes seconds. */
class ProgramSize {
  /** Of each group that is open, the whole pattern first. */
  readonly #sums = [0];
  /** What a repetition that comes next would repeat. */
  #last = 0;

  /** Of a pattern whose groups are not closed what was counted so far. */
  get total(): number {
    return this.#sums.reduce((sum, part) => sum + part, 0);
  }

  /** @returns what RE2 does not know and re2js does */
  add(pattern: string): string | null {
    for (const { 0: text, groups = {} } of pattern.matchAll(tokens)) {
      const escape = text.startsWith('\\') || groups['set'] !== undefined ? text : '';
      const problem = escapeProblem(escape);
      if (problem !== null) return problem;
      this.#token(text, groups);
    }
    return null;
  }

  #token(text: string, { set, quoted, least, most }: Readonly<Record<string, string | undefined>>): void {
    if (quoted !== undefined) this.#atom(quoted.length * costs.beyondAscii);
    else if (set !== undefined) this.#atom(costs.set + set.length * costs.setCharacter + propertiesIn(set));
    else if (least !== undefined) this.#repeat(Math.max(Number(least), Number(most ?? 0), 1));
    else if (text.startsWith('\\')) this.#atom(costs.escape + propertiesIn(text));
    else if (text === '(') this.#sums.push(costs.literal);
    else if (text === ')' && this.#sums.length > 1) this.#atom(this.#sums.pop() ?? 0);
    else if (text === '.') this.#atom(costs.escape);
    else if ('*+?|'.includes(text)) this.#add(costs.literal);
    else this.#atom(text < '\u0080' ? costs.literal : costs.beyondAscii);
  }

  #atom(cost: number): void {
    this.#last = cost;
    this.#add(cost);
  }

  #repeat(times: number): void {
    const more = this.#last * (times - 1);
    this.#last += more;
    this.#add(more);
  }

  #add(cost: number): void {
    const innermost = this.#sums.length - 1;
    this.#sums[innermost] = (this.#sums[innermost] ?? 0) + cost;
  }
}

function escapeProblem(text: string): string | null {
  for (const { groups = {} } of text.matchAll(escapes)) {
    const property = groups['property'] ?? groups['letter'];
    if (property !== undefined && !properties.has(property)) return `\\p{${property}} is no category of characters`;
    if (groups['code'] !== undefined && !(parseInt(groups['code'], 16) <= 0xff))
      return `\\x{${groups['code']}} is no byte`;
  }
  return null;
}

function propertiesIn(text: string): number {
  return (text.match(/\\[pP]/g)?.length ?? 0) * costs.property;
}

/** A pattern of a match that Envoy would refuse. */
export interface BadPattern {
  /** As manifests have it, below the match: `headers.x-user`. */
  readonly field: string;
  readonly problem: string;
}

/** @param pathField what the kind of manifest calls the path */
export function badPatterns(match: HttpMatch, pathField: string): readonly BadPattern[] {
  const { path, method, scheme, authority, headers, withoutHeaders, query, sourceLabels } = match;
  const named = (field: string, matches: readonly NamedMatch[]) =>
    matches.map(({ name, value }) => [`${field}.${name}`, patternOf(value)] as const);
  const patterns = [
    [pathField, path.kind === 'regex' ? path.value : null] as const,
    ...Object.entries({ method, scheme, authority }).map(([name, value]) => [name, patternOf(value)] as const),
    ...named('headers', headers),
    ...named('withoutHeaders', withoutHeaders),
    ...named('queryParams', query),
    ...[...sourceLabels].map(([key, value]) => [`sourceLabels.${key}`, labelPattern(key, value)] as const),
  ];
  return patterns.flatMap(([field, pattern]) => {
    const problem = pattern === null ? null : regexProblem(pattern);
    return problem === null ? [] : [{ field, problem }];
  });
}

function patternOf(match: TextMatch | null): string | null {
  return match?.kind === 'regex' ? match.value : null;
}
