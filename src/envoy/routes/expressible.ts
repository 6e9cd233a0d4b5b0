import type { HttpMatch, TextMatch } from '../http-rules.ts';
import { badPatterns, regexProblem } from '../regular-expressions.ts';
import type { Notes } from './notes.ts';

export interface ExpressibleMatch<Asked> {
  readonly asked: Asked;
  readonly match: HttpMatch;
}

interface Reading {
  /** Where the matches are written. */
  readonly field: string;
  /** What the kind of manifest calls the path. */
  readonly path: string;
  readonly notes: Notes;
}

/** The matches that Envoy can be asked for. One that it would refuse never comes true: nothing goes where it leads. */
export function expressible<Asked>(
  asked: readonly Asked[],
  matchOf: (asked: Asked, field: string) => HttpMatch,
  { field, path, notes }: Reading,
): readonly ExpressibleMatch<Asked>[] {
  return asked.flatMap((item, index) => {
    const at = `${field}[${index}]`;
    const match = matchOf(item, at);
    const bad = badPatterns(match, path);
    for (const { field: part, problem } of bad)
      notes.unsupported(
        `${at}.${part}`,
        `is no pattern that a waypoint can use (${problem}): this match never comes true`,
      );
    return bad.length === 0 ? [{ asked: item, match }] : [];
  });
}

/** The origins that Envoy can be asked for; others are let in as little as those that nobody names. */
export function expressibleOrigins(origins: readonly TextMatch[], field: string, notes: Notes): readonly TextMatch[] {
  return origins.filter((origin, index) => {
    const problem = origin.kind === 'regex' ? regexProblem(origin.value) : null;
    if (problem !== null)
      notes.unsupported(
        `${field}[${index}]`,
        `is no pattern that a waypoint can use (${problem}): it lets no origin in`,
      );
    return problem === null;
  });
}
