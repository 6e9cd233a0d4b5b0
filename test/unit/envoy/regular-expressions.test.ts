import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { regexProblem, substitutionProblem } from '../../../src/envoy/regular-expressions.ts';

const good = [
  '/v[0-9]+/.*',
  '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}',
  '(?i)/(?P<name>[^/]+)(?:/x|/y)?',
  '\\p{Lu}\\PN\\pL\\p{^L}[\\p{L}\\d]',
  '\\Q(*\\E.+',
  '\\\\p{Garay}',
  '[[:alpha:]]+[]a]\\x41\\x{ff}',
  'a{,5}',
  '.{1000}',
  'é+',
] as const;

const bad: Readonly<Record<string, RegExp>> = {
  '': /is empty/,
  '(?=a)': /Perl syntax/,
  '(?<!a)b': /./,
  '(a)\\1': /escape/,
  'a++': /repetition/,
  'a{1001}': /repeat count/,
  '(?:a{100}){11}': /repeat count/,
  '[z-a]': /range/,
  '(': /./,
  '*': /./,
  '\\p{Garay}': /no category/,
  '[\\p{Greek}]': /no category/,
  '\\x{100}': /no byte/,
  '[\\xe0-é]': /range/,
  '\ud800': /Unicode/,
  [`(?:${'[^/]'.repeat(200)}){100}`]: /repeats more/,
  ['\\pL'.repeat(300)]: /repeats more/,
  ['x'.repeat(1025)]: /longer than 1024 bytes/,
  ['é'.repeat(513)]: /longer than 1024 bytes/,
};

describe('a regular expression', () => {
  for (const pattern of good) {
    test(`is taken: ${pattern}`, () => {
      assert.equal(regexProblem(pattern), null);
    });
  }

  for (const [pattern, problem] of Object.entries(bad)) {
    test(`is refused: ${pattern.slice(0, 20)}`, () => {
      assert.match(regexProblem(pattern) ?? '', problem);
      // The second time from memory.
      assert.match(regexProblem(pattern) ?? '', problem);
    });
  }

  test('that would become a large program is refused before it is one', () => {
    const begin = performance.now();
    assert.notEqual(regexProblem(`(${'abcde'.repeat(190)}){1000}`), null);
    // Compiling it takes seconds.
    assert.ok(performance.now() - begin < 500);
  });

  test('has the groups that a substitution names', () => {
    assert.equal(substitutionProblem('(a)(b)', '/\\2\\1\\0\\\\'), null);
    assert.match(substitutionProblem('(a)(b)', '/\\3') ?? '', /\\3 is no group/);
    assert.match(substitutionProblem('a', '/\\') ?? '', /no group/);
    assert.match(substitutionProblem('a', '/\\n') ?? '', /no group/);
  });
});
