import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { cidrContains, parseAddress } from '../../../src/model/address.ts';
import type { IpAddress } from '../../../src/model/address.ts';
import { authorize, compilePolicy } from '../../../src/model/authorization.ts';
import type { AuthorizationResult, InboundConnection } from '../../../src/model/authorization.ts';
import { parseSpiffeId } from '../../../src/model/identity.ts';
import type { Match, Policy, Rule } from '../../../src/model/policy.ts';

const empty: Match = {
  ...{
    namespaces: [],
    notNamespaces: [],
    principals: [],
    notPrincipals: [],
    serviceAccounts: [],
    notServiceAccounts: [],
  },
  ...{
    sourceIps: [],
    notSourceIps: [],
    destinationIps: [],
    notDestinationIps: [],
    destinationPorts: [],
    notDestinationPorts: [],
  },
};

function ip(text: string): IpAddress {
  const address = parseAddress(text);
  assert.ok(address !== null);
  return address;
}

const web: InboundConnection = {
  peer: parseSpiffeId('spiffe://cluster.local/ns/shop/sa/web'),
  source: ip('10.0.1.5'),
  destination: ip('10.0.2.7'),
  port: 8080,
};
const plaintext: InboundConnection = { ...web, peer: null };

function policy(action: Policy['action'], rules: readonly Rule[], name: string = action, dryRun = false): Policy {
  return { name, namespace: 'shop', scope: 'namespace', action, rules, dryRun };
}

function rule(...matches: readonly Partial<Match>[]): Rule {
  return { clauses: matches.map((match) => [{ ...empty, ...match }]) };
}

function ask(policies: readonly Policy[], connection = web, unknown: readonly string[] = []): AuthorizationResult {
  return authorize(policies.map(compilePolicy), connection, unknown);
}

/** Whether a policy with that single match allows. */
function matches(match: Partial<Match>, connection = web): boolean {
  return ask([policy('allow', [rule(match)])], connection).decision.allowed;
}

const any: Rule = { clauses: [] };
const never = rule({ destinationPorts: [1] });

void describe('the order of policies', () => {
  const cases: readonly [string, readonly Policy[], AuthorizationResult['decision']][] = [
    ['none: allowed', [], { allowed: true, policy: null }],
    ['DENY without rules: allowed', [policy('deny', [])], { allowed: true, policy: null }],
    ['DENY that does not match: allowed', [policy('deny', [never])], { allowed: true, policy: null }],
    ['DENY that matches', [policy('deny', [any])], { allowed: false, policy: 'shop/deny', reason: 'policy_denied' }],
    ['ALLOW that matches', [policy('allow', [any])], { allowed: true, policy: 'shop/allow' }],
    ['ALLOW without rules', [policy('allow', [])], { allowed: false, policy: null, reason: 'no_allow_policy_matched' }],
    [
      'ALLOW that does not match',
      [policy('allow', [never])],
      { allowed: false, policy: null, reason: 'no_allow_policy_matched' },
    ],
    [
      'DENY wins over ALLOW, whatever comes first',
      [policy('allow', [any]), policy('deny', [any])],
      { allowed: false, policy: 'shop/deny', reason: 'policy_denied' },
    ],
    [
      'DENY that does not match leaves it to ALLOW',
      [policy('deny', [never]), policy('allow', [any])],
      { allowed: true, policy: 'shop/allow' },
    ],
    [
      'one ALLOW of several is enough',
      [policy('allow', [never]), policy('allow', [any], 'second')],
      { allowed: true, policy: 'shop/second' },
    ],
    [
      'the DENY that matches is named',
      [policy('deny', [never]), policy('deny', [any], 'second')],
      { allowed: false, policy: 'shop/second', reason: 'policy_denied' },
    ],
    ['dry-run DENY decides nothing', [policy('deny', [any], 'try', true)], { allowed: true, policy: null }],
    ['dry-run ALLOW is no ALLOW', [policy('allow', [never], 'try', true)], { allowed: true, policy: null }],
    [
      'dry-run ALLOW does not help',
      [policy('allow', [any], 'try', true), policy('allow', [never])],
      { allowed: false, policy: null, reason: 'no_allow_policy_matched' },
    ],
  ];
  for (const [name, policies, expected] of cases) {
    test(name, () => {
      assert.deepEqual(ask(policies).decision, expected);
    });
  }

  test('a policy that is not known denies', () => {
    const { decision } = ask([policy('allow', [any])], web, ['shop/late']);
    assert.deepEqual(decision, { allowed: false, policy: 'shop/late', reason: 'policy_unknown' });
  });

  test('a malformed policy denies, whatever its action', () => {
    for (const action of ['allow', 'deny'] as const) {
      const { decision } = ask([policy(action, [rule({ sourceIps: ['10.0.0.0/40'] })])]);
      assert.deepEqual(decision, { allowed: false, policy: `shop/${action}`, reason: 'policy_malformed' });
    }
  });

  test('a malformed dry-run policy decides nothing', () => {
    assert.ok(ask([policy('deny', [rule({ notSourceIps: ['x'] })], 'try', true)]).decision.allowed);
  });

  test('what dry-run policies would have made of it is told', () => {
    assert.equal(ask([]).dryRunAllowed, null);
    assert.equal(ask([policy('deny', [any], 'a', true)]).dryRunAllowed, false);
    assert.equal(ask([policy('allow', [never], 'a', true)]).dryRunAllowed, false);
    assert.equal(ask([policy('deny', [never], 'a', true)]).dryRunAllowed, true);
    assert.equal(ask([policy('allow', [never]), policy('allow', [any], 'a', true)]).dryRunAllowed, true);
  });

  test('dry-run policies that match are told', () => {
    const { dryRunMatches } = ask([policy('deny', [any], 'a', true), policy('allow', [never], 'b', true)]);
    assert.deepEqual(dryRunMatches, ['shop/a']);
  });
});

void describe('rules, clauses and matches', () => {
  const yes: Match = { ...empty, destinationPorts: [8080] };
  const no: Match = { ...empty, destinationPorts: [1] };
  const cases: readonly [string, readonly (readonly (readonly Match[])[])[], boolean][] = [
    ['no rule', [], false],
    ['a rule without clauses', [[]], true],
    ['a clause without matches', [[[]]], true],
    ['a clause of an empty match', [[[empty]]], false],
    ['an empty match beside a true one', [[[empty, yes]]], true],
    ['an empty match beside a false one', [[[empty, no]]], false],
    ['matches are ORed', [[[no, yes]]], true],
    ['clauses are ANDed', [[[yes], [no]]], false],
    ['all clauses hold', [[[yes], [yes]]], true],
    ['rules are ORed', [[[no]], [[yes]]], true],
    ['no rule of several holds', [[[no]], [[no]]], false],
  ];
  for (const [name, rules, expected] of cases) {
    test(`${name}: ${expected ? 'holds' : 'does not hold'}`, () => {
      const { decision } = ask([
        policy(
          'allow',
          rules.map((clauses) => ({ clauses })),
        ),
      ]);
      assert.equal(decision.allowed, expected);
    });
  }
});

void describe('the fields of a match', () => {
  const exact = (value: string) => [{ kind: 'exact', value } as const];
  const prefix = (value: string) => [{ kind: 'prefix', value } as const];
  const suffix = (value: string) => [{ kind: 'suffix', value } as const];
  const presence = [{ kind: 'presence' } as const];
  const cases: readonly [string, Partial<Match>, boolean, boolean][] = [
    // field, match, with identity, plaintext
    ['principal exact', { principals: exact('cluster.local/ns/shop/sa/web') }, true, false],
    ['principal exact, other', { principals: exact('cluster.local/ns/shop/sa/we') }, false, false],
    ['principal with the scheme', { principals: exact('spiffe://cluster.local/ns/shop/sa/web') }, false, false],
    ['principal prefix', { principals: prefix('cluster.local/ns/shop/') }, true, false],
    ['principal prefix, other', { principals: prefix('cluster.local/ns/shops') }, false, false],
    ['principal suffix', { principals: suffix('/ns/shop/sa/web') }, true, false],
    ['principal presence', { principals: presence }, true, false],
    ['one of several principals', { principals: [...exact('x'), ...suffix('/sa/web')] }, true, false],
    ['not principal', { notPrincipals: exact('cluster.local/ns/shop/sa/web') }, false, true],
    ['not another principal', { notPrincipals: exact('x') }, true, true],
    ['no identity', { notPrincipals: presence }, false, true],
    ['principal but not that one', { principals: presence, notPrincipals: suffix('/web') }, false, false],
    ['namespace exact', { namespaces: exact('shop') }, true, false],
    ['namespace prefix', { namespaces: prefix('sh') }, true, false],
    ['namespace suffix', { namespaces: suffix('op') }, true, false],
    ['namespace presence', { namespaces: presence }, true, false],
    ['not namespace', { notNamespaces: exact('shop') }, false, true],
    ['not another namespace', { notNamespaces: exact('other') }, true, true],
    ['service account', { serviceAccounts: [{ namespace: 'shop', serviceAccount: 'web' }] }, true, false],
    [
      'service account of another namespace',
      { serviceAccounts: [{ namespace: 'x', serviceAccount: 'web' }] },
      false,
      false,
    ],
    ['not service account', { notServiceAccounts: [{ namespace: 'shop', serviceAccount: 'web' }] }, false, true],
    ['source', { sourceIps: ['10.0.1.0/24'] }, true, true],
    ['source, other', { sourceIps: ['10.0.2.0/24'] }, false, false],
    ['source of the other family', { sourceIps: ['::/0'] }, false, false],
    ['one of several sources', { sourceIps: ['1.1.1.1', '10.0.1.5'] }, true, true],
    ['not source', { notSourceIps: ['10.0.0.0/8'] }, false, false],
    ['not another source', { notSourceIps: ['11.0.0.0/8'] }, true, true],
    ['destination', { destinationIps: ['10.0.2.7'] }, true, true],
    ['destination, other', { destinationIps: ['10.0.2.8'] }, false, false],
    ['not destination', { notDestinationIps: ['10.0.2.7'] }, false, false],
    ['not another destination', { notDestinationIps: ['10.0.2.8'] }, true, true],
    ['port', { destinationPorts: [80, 8080] }, true, true],
    ['port, other', { destinationPorts: [80] }, false, false],
    ['not port', { notDestinationPorts: [8080] }, false, false],
    ['not another port', { notDestinationPorts: [80] }, true, true],
    ['kinds are ANDed', { namespaces: exact('shop'), destinationPorts: [80] }, false, false],
    ['all kinds hold', { namespaces: exact('shop'), destinationPorts: [8080], sourceIps: ['10.0.0.0/8'] }, true, false],
  ];
  for (const [name, match, withIdentity, without] of cases) {
    test(name, () => {
      assert.equal(matches(match), withIdentity, 'with identity');
      assert.equal(matches(match, plaintext), without, 'plaintext');
    });
  }

  test('an empty prefix or suffix matches no absent value', () => {
    assert.equal(matches({ principals: prefix('') }, plaintext), false);
    assert.equal(matches({ namespaces: suffix('') }, plaintext), false);
    assert.equal(matches({ notPrincipals: exact('') }, plaintext), true);
  });

  test('the trust domain plays no part in a service account', () => {
    const foreign = { ...web, peer: parseSpiffeId('spiffe://other.example/ns/shop/sa/web') };
    assert.ok(matches({ serviceAccounts: [{ namespace: 'shop', serviceAccount: 'web' }] }, foreign));
  });
});

void describe('what a decision depended on', () => {
  test('is nothing where no policy is', () => {
    assert.deepEqual(ask([]).dependencies, { sourceBlocks: [], destination: false, port: false });
  });

  test('is not the port where the peer alone settles it', () => {
    const strangers = policy('allow', [
      rule({ namespaces: [{ kind: 'exact', value: 'other' }], destinationPorts: [80] }),
    ]);
    assert.equal(ask([strangers]).dependencies.port, false);
    assert.equal(
      ask([policy('allow', [rule({ namespaces: [{ kind: 'exact', value: 'shop' }], destinationPorts: [80] })])])
        .dependencies.port,
      true,
    );
  });

  test('are the blocks that were compared', () => {
    const { sourceBlocks } = ask([
      policy('deny', [rule({ sourceIps: ['192.168.0.1/16'], notSourceIps: ['10.0.0.0/8'] })]),
    ]).dependencies;
    assert.deepEqual(
      sourceBlocks.map(({ text }) => text),
      ['192.168.0.0/16'],
      'the second was not reached',
    );
  });

  test('is nothing that only a dry run looked at', () => {
    const dry = policy('deny', [rule({ destinationPorts: [80], sourceIps: ['10.0.0.0/8'] })], 'try', true);
    assert.deepEqual(ask([dry]).dependencies, { sourceBlocks: [], destination: false, port: false });
  });

  const address = fc.constantFrom('10.0.0.1', '10.0.1.5', '192.168.0.1', 'fd00::1').map(ip);
  const peer = fc.constantFrom(null, web.peer, parseSpiffeId('spiffe://cluster.local/ns/other/sa/job'));
  const port = fc.constantFrom(80, 443, 8080);
  const texts = fc.array(
    fc.constantFrom({ kind: 'presence' }, { kind: 'exact', value: 'shop' }, {
      kind: 'suffix',
      value: 'web',
    } as const),
    { maxLength: 2 },
  );
  const blocks = fc.array(fc.constantFrom('10.0.0.0/8', '10.0.1.0/24', '192.168.0.1', '::/0'), { maxLength: 2 });
  const ports = fc.array(port, { maxLength: 2 });
  const match: fc.Arbitrary<Match> = fc.record({
    ...{ namespaces: texts, notNamespaces: texts, principals: texts, notPrincipals: texts },
    ...{ serviceAccounts: fc.constant([]), notServiceAccounts: fc.constant([]) },
    ...{ sourceIps: blocks, notSourceIps: blocks, destinationIps: blocks, notDestinationIps: blocks },
    ...{ destinationPorts: ports, notDestinationPorts: ports },
  });
  const policies = fc.array(
    fc
      .tuple(
        fc.constantFrom('allow' as const, 'deny' as const),
        fc.array(fc.array(fc.array(match, { maxLength: 2 }), { maxLength: 2 }), { maxLength: 2 }),
        fc.boolean(),
      )
      .map(([action, rules, dryRun]) =>
        policy(
          action,
          rules.map((clauses) => ({ clauses })),
          action,
          dryRun,
        ),
      ),
    { maxLength: 4 },
  );

  test('suffices: connections that agree on it get the same decision', () => {
    fc.assert(
      fc.property(
        policies,
        peer,
        fc.tuple(address, address, port),
        fc.tuple(address, address, port),
        (all, who, one, two) => {
          const connection = ([source, destination, to]: typeof one) => ({ peer: who, source, destination, port: to });
          const { decision, dependencies } = ask(all, connection(one));
          const sameBlocks = dependencies.sourceBlocks.every(
            (block) => cidrContains(block, one[0]) === cidrContains(block, two[0]),
          );
          const sameDestination = !dependencies.destination || one[1].text === two[1].text;
          const samePort = !dependencies.port || one[2] === two[2];
          if (sameBlocks && sameDestination && samePort) assert.deepEqual(ask(all, connection(two)).decision, decision);
        },
      ),
      { numRuns: 3000 },
    );
  });
});
