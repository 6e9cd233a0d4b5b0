import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { parseManifests } from '../../../src/config/manifests/parse.ts';
import { changesBetween, nextState } from '../../../src/config/manifests/store.ts';
import { deriveMeshState } from '../../../src/derive/mesh-state.ts';
import { parseAddress } from '../../../src/model/address.ts';
import { authorize, compilePolicy } from '../../../src/model/authorization.ts';
import { parseSpiffeId } from '../../../src/model/identity.ts';
import { AuthorizationSchema } from '../../../src/proto/gen/istio/security/authorization_pb.ts';
import { decodePolicy, encodePolicy } from '../../../src/wds/authorization.ts';

/** As people write them: YAML, each rule with a source, an operation and a condition of its own. */
function manifest(rules: number): string {
  const written = Array.from(
    { length: rules },
    (
      _,
      index,
    ) => `    - from: [{ source: { principals: ["cluster.local/ns/n${index}/sa/web"], notNamespaces: ["x*"] } }]
      to: [{ operation: { ports: ["${1 + (index % 65000)}"] } }]
      when: [{ key: source.ip, values: ["10.${index % 256}.${(index >> 8) % 256}.0/24"] }]`,
  );
  return `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: large, namespace: shop }
spec:
  rules:
${written.join('\n')}
`;
}

type Stage = 'parse' | 'derive' | 'wire' | 'compile' | 'decide';

/** Milliseconds of processor time of each stage, from YAML to a decision that has to look at every rule. */
function measure(rules: number): Readonly<Record<Stage, number>> {
  const times: Record<Stage, number> = { parse: 0, derive: 0, wire: 0, compile: 0, decide: 0 };
  const timed = <Result>(stage: Stage, work: () => Result): Result => {
    const before = process.cpuUsage();
    const result = work();
    const { user, system } = process.cpuUsage(before);
    times[stage] = (user + system) / 1000;
    return result;
  };
  const text = manifest(rules);
  const { state, problems } = timed('parse', () => nextState(new Map(), [parseManifests('m.yaml', text)]));
  assert.deepEqual(problems, []);
  const derived = timed('derive', () => deriveMeshState(changesBetween(new Map(), state), { node: null }));
  const policy = derived.policies.get('shop/large');
  assert.equal(policy?.rules.length, rules);
  const decoded = timed('wire', () =>
    decodePolicy(fromBinary(AuthorizationSchema, toBinary(AuthorizationSchema, encodePolicy(policy)))),
  );
  assert.deepEqual(decoded.value, policy);
  const compiled = timed('compile', () => compilePolicy(policy));
  const address = parseAddress('10.0.0.1');
  const peer = parseSpiffeId('spiffe://cluster.local/ns/stranger/sa/web');
  assert.ok(address !== null && peer !== null);
  const { decision } = timed('decide', () =>
    authorize([compiled], { peer, source: address, destination: address, port: 80 }),
  );
  assert.equal(decision.allowed, false);
  return times;
}

test('a policy of 10,000 rules costs ten times what one of 1,000 does, from YAML to the decision', (context) => {
  measure(200);
  const small = measure(1000);
  const large = measure(10_000);
  for (const stage of Object.keys(large) as Stage[]) {
    const told = `${stage}: ${large[stage].toFixed(1)} ms for 10,000 rules, ${small[stage].toFixed(1)} ms for 1,000`;
    context.diagnostic(told);
    // Three times more than in proportion, and what is too short to measure: a square would be a hundred times.
    assert.ok(large[stage] < 30 * small[stage] + 50, told);
  }
});
