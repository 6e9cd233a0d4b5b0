import type { OperationFact, SourceFact, Test } from './model.ts';

/** @returns whether a test asks for one of the facts that are wanted, whichever way */
export function mentions(test: Test<SourceFact | OperationFact>, wanted: (kind: string) => boolean): boolean {
  switch (test.kind) {
    case 'all':
    case 'any':
      return test.of.some((part) => mentions(part, wanted));
    case 'not':
      return mentions(test.of, wanted);
    default:
      return wanted(test.kind);
  }
}
