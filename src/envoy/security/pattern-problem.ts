import type { NamedMatch, TextMatch } from '../http-rules.ts';
import { regexProblem } from '../regular-expressions.ts';
import type { OperationFact, SourceFact, Test } from './model.ts';

/** @returns what Envoy would refuse a pattern of the test for; null: nothing */
export function patternProblem(test: Test<SourceFact | OperationFact>): string | null {
  switch (test.kind) {
    case 'all':
    case 'any':
      return test.of.map(patternProblem).find((problem) => problem !== null) ?? null;
    case 'not':
      return patternProblem(test.of);
    default:
      return 'match' in test ? matchProblem(test.match) : null;
  }
}

function matchProblem(match: TextMatch | NamedMatch): string | null {
  if ('name' in match) return matchProblem(match.value);
  return match.kind === 'regex' ? regexProblem(match.value) : null;
}
