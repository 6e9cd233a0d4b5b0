import { mentions } from './mentions.ts';
import type { AccessPolicy, OperationFact, Test } from './model.ts';

/** @returns whether a policy asks for the name that a client of TLS asks for, which somebody has to read first */
export function asksForServerName({ rules }: AccessPolicy): boolean {
  return rules.some(({ operation }) => mentionsServerName(operation));
}

/** Of a rule that allows: what lets in whoever names none of some servers would let in who names none at all, or does so late. */
export function withServerName(test: Test<OperationFact>): Test<OperationFact> {
  if (test.kind === 'all' || test.kind === 'any') return { kind: test.kind, of: test.of.map(withServerName) };
  if (test.kind !== 'not' || !mentionsServerName(test)) return test;
  return { kind: 'all', of: [test, { kind: 'server-name', match: { kind: 'present' } }] };
}

function mentionsServerName(test: Test<OperationFact>): boolean {
  return mentions(test, (kind) => kind === 'server-name');
}
