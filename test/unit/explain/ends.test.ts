import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { explainInbound } from '../../../src/explain/inbound.ts';
import { explainOutbound } from '../../../src/explain/outbound.ts';
import type { Inbound, Outbound } from '../../../src/explain/shape.ts';
import { convertedPolicyPrefix, strictPolicyName } from '../../../src/model/policy.ts';
import type { Policy } from '../../../src/model/policy.ts';
import type { Workload } from '../../../src/model/workload.ts';
import {
  identity,
  localPod,
  match,
  meshSettings,
  meshState,
  NODE,
  policy,
  service,
  serviceKey,
  workload,
} from '../../support/mesh-builders.ts';
import type { StateParts } from '../../support/mesh-builders.ts';
import { nodeFacts } from '../../support/node-facts.ts';
import type { FactOptions } from '../../support/node-facts.ts';

const client = workload('client', { addresses: ['10.0.0.1'], node: NODE });
const web = workload('web', { addresses: ['10.0.0.2'], node: NODE });
const shop = service('shop', { vips: ['10.96.0.1'] });
const behind = (ports: readonly [number, number][] = [[80, 8080]]): Workload['services'] =>
  new Map([[serviceKey(shop), new Map(ports)]]);

async function outbound(
  destination: string,
  parts: StateParts = {},
  options: FactOptions = {},
  port = 80,
): Promise<Outbound> {
  const { workloads = [], localPods = [localPod(client)] } = parts;
  const state = meshState({ ...parts, workloads: [client, ...workloads], localPods });
  return explainOutbound(await nodeFacts(state, options), { pod: 'uid-client', destination, port });
}

suite('the half of the source', () => {
  test('a pod that the labels leave out is not captured', async () => {
    const localPods = [localPod(client, { wanted: false })];
    const { action, reason, endpoints } = await outbound('10.0.0.2', { workloads: [web], localPods });
    assert.deepEqual([action, reason], ['uncaptured', 'not_wanted']);
    assert.deepEqual(
      endpoints.map(({ transport }) => transport),
      ['plaintext'],
    );
  });

  test('a pod that waits to be enrolled is not captured yet', async () => {
    const { action, reason } = await outbound('10.0.0.2', {}, { enrolled: [] });
    assert.deepEqual([action, reason], ['uncaptured', 'not_enrolled']);
  });

  test('on demand, nothing is said before the waypoint is told, too', async () => {
    const place = { kind: 'hostname', namespace: 'default', hostname: 'w', port: 15008 } as const;
    const waypoint = { ...place, required: false, whenUnready: 'direct' } as const;
    const parts = { workloads: [web], services: [{ ...shop, waypoint }] };
    const action = async (...told: readonly string[]): Promise<Outbound['action']> =>
      (await outbound('10.96.0.1', parts, { onDemand: true, told })).action;
    assert.deepEqual([await action('10.96.0.1'), await action('10.96.0.1', 'default/w')], ['unsettled', 'deny']);
  });

  test('a pod that is captured and not served is refused', async () => {
    const { action } = await outbound('10.0.0.2', {}, { enrolled: [], captured: ['uid-client'] });
    assert.equal(action, 'refused');
  });

  test('a pod that its node does not know is not captured', async () => {
    const { action, reason } = await outbound('10.0.0.2', { localPods: [] });
    assert.deepEqual([action, reason], ['uncaptured', 'unknown_pod']);
  });

  test('what stays in the pod is never asked about', async () => {
    for (const address of ['10.0.0.1', '127.0.0.1', '::1', 'fe80::1']) {
      assert.equal((await outbound(address)).action, 'itself', address);
    }
  });

  test('an address of nobody is passed through', async () => {
    const { action, destination, endpoints } = await outbound('192.0.2.1');
    assert.deepEqual([action, destination.owner, endpoints.length], ['passthrough', 'nobody', 0]);
  });

  test('a proxy says that it is one', async () => {
    const proxied = { ...client, applicationTunnel: { protocol: 'proxy', port: 15088 } as const };
    assert.equal((await outbound('10.0.0.2', { workloads: [web, proxied] })).pod.proxied, true);
    assert.equal((await outbound('10.0.0.2', { workloads: [web] })).pod.proxied, false);
  });

  test('a workload outside the mesh is reached plainly', async () => {
    const { action, endpoints } = await outbound('10.0.0.2', { workloads: [{ ...web, protocol: 'tcp' }] });
    assert.equal(action, 'passthrough');
    assert.deepEqual(
      endpoints.map(({ name, transport }) => [name, transport]),
      [['default/web', 'plaintext']],
    );
  });

  test('every candidate of a service has the reason for which it is not chosen', async () => {
    const at = (name: string, address: string, rest: Partial<Workload>): Workload =>
      workload(name, { addresses: [address], services: behind(), ...rest });
    const parts: StateParts = {
      services: [
        {
          ...shop,
          ports: new Map([[80, 0]]),
          loadBalancing: { mode: 'failover', scopes: ['node'], healthPolicy: 'only-healthy' },
        },
      ],
      workloads: [
        at('far', '10.0.1.1', {}),
        at('near', '10.0.1.2', { node: NODE }),
        at('nameless', '10.0.1.3', { services: behind([]) }),
        at('nowhere', '', { addresses: [] }),
        at('sick', '10.0.1.5', { status: 'unhealthy' }),
      ],
    };
    const { candidates, action } = await outbound('10.96.0.1', parts);
    assert.equal(action, 'connect');
    assert.deepEqual(Object.fromEntries(candidates.map(({ name, outcome }) => [name, outcome])), {
      'default/near': 'chosen',
      'default/far': 'out_of_scope',
      'default/nameless': 'no_target_port',
      'default/nowhere': 'no_address',
      'default/sick': 'unhealthy',
    });
  });

  test('a port that the service does not have leaves nobody', async () => {
    const workloads = [{ ...web, services: behind() }];
    const { action, reason, candidates } = await outbound('10.96.0.1', { services: [shop], workloads }, {}, 81);
    assert.deepEqual([action, reason, candidates[0]?.outcome], ['deny', 'no_healthy_upstream', 'unknown_port']);
  });

  test('tells why a wire is crossed', async () => {
    const wire = async (parts: StateParts, there: Workload = web, options: FactOptions = {}) => {
      const localPods = [localPod(client), ...(there.node === NODE ? [localPod(there)] : [])];
      const [endpoint] = (await outbound('10.0.0.2', { ...parts, workloads: [there], localPods }, options)).endpoints;
      return [endpoint?.transport, endpoint?.wire?.end, endpoint?.wire?.reason];
    };
    assert.deepEqual(await wire({}), ['node_local', undefined, undefined]);
    assert.deepEqual(await wire({}, { ...web, node: 'node-2' }), ['mutual_tls', 'destination', 'other_node']);
    assert.deepEqual(await wire({}, { ...web, selectedByNetworkPolicy: true }), [
      'mutual_tls',
      'destination',
      'network_policy',
    ]);
    assert.deepEqual(await wire({ settings: meshSettings({ sameNode: 'tls' }) }), [
      'mutual_tls',
      'destination',
      'setting',
    ]);
    assert.deepEqual(await wire({}, web, { enrolled: ['uid-client'] }), ['mutual_tls', 'destination', 'not_enrolled']);
  });

  test('shows so many candidates and no more', async () => {
    const many = Array.from({ length: 60 }, (_, index) =>
      workload(`w${index}`, { addresses: [`10.0.2.${index}`], services: behind() }),
    );
    const { candidates, omitted, endpoints, endpointCount } = await outbound('10.96.0.1', {
      services: [shop],
      workloads: many,
    });
    assert.deepEqual([candidates.length, omitted, endpoints.length, endpointCount], [50, 10, 20, 60]);
  });
});

interface Asked {
  readonly peer?: string | null;
  readonly named?: readonly string[];
  readonly transport?: Inbound['question']['transport'];
  readonly bypassInbound?: boolean;
}

async function inbound(
  policies: readonly Policy[],
  { peer = identity(client), named = [], transport = 'mutual_tls', bypassInbound = false }: Asked = {},
  options: FactOptions = {},
): Promise<Inbound> {
  const there = { ...web, authorizationPolicies: named };
  const localPods = [localPod(there, { bypassInbound })];
  const state = meshState({ workloads: [client, there], localPods, policies });
  const asked = { pod: 'uid-web', peer, source: '10.0.0.1', destination: '10.0.0.2', port: 8080, transport };
  return explainInbound(await nodeFacts(state, options), asked);
}

const lines = ({ policies }: Inbound): readonly string[] => policies.flatMap(({ why }) => why);

suite('the half of the destination', () => {
  test('without policies everybody may enter', async () => {
    const { action, policy: decided, policies } = await inbound([]);
    assert.deepEqual([action, decided, policies.length], ['allow', null, 0]);
  });

  test('a DENY that matches decides, before those that do not match', async () => {
    const {
      action,
      policy: decided,
      policies,
    } = await inbound([
      policy('a-other', {}, { destinationPorts: [1] }),
      policy('b-deny', {}, { destinationPorts: [8080] }),
    ]);
    assert.deepEqual([action, decided], ['deny', 'default/b-deny']);
    assert.deepEqual(
      policies.map(({ key, decides, matches }) => [key, decides, matches]),
      [
        ['default/b-deny', true, true],
        ['default/a-other', false, false],
      ],
    );
  });

  test('where no ALLOW matches, each tells which condition fails', async () => {
    const answer = await inbound([
      policy('by-name', { action: 'allow' }, { principals: [{ kind: 'exact', value: 'cluster.local/ns/x/sa/y' }] }),
      policy('by-block', { action: 'allow' }, { sourceIps: ['10.1.0.0/16'] }),
      policy('by-account', { action: 'allow' }, { serviceAccounts: [{ namespace: 'x', serviceAccount: 'y' }] }),
      policy('not-by-port', { action: 'allow' }, { notDestinationPorts: [8080] }),
      policy('never', { action: 'allow', rules: [] }, {}),
    ]);
    assert.deepEqual([answer.action, answer.reason], ['deny', 'no_allow_policy_matched']);
    assert.deepEqual(
      new Set(lines(answer)),
      new Set([
        'rule 1: cluster.local/ns/default/sa/client is not in principals: cluster.local/ns/x/sa/y',
        'rule 1: source 10.0.0.1 is not in sourceIps: 10.1.0.0/16',
        'rule 1: default/client is not in serviceAccounts: x/y',
        'rule 1: port 8080 is among notDestinationPorts: 8080',
        'it has no rules, so it matches nothing',
      ]),
    );
  });

  test('a policy that the workload names and nobody knows denies', async () => {
    const { action, reason, unknown } = await inbound([], { named: ['default/gone'] });
    assert.deepEqual([action, reason, unknown], ['deny', 'policy_unknown', ['default/gone']]);
  });

  test('a policy that cannot be evaluated denies, and says why', async () => {
    const { action, reason, policies } = await inbound([policy('bad', {}, { sourceIps: ['10.0.0.0/99'] })]);
    assert.deepEqual([action, reason], ['deny', 'policy_malformed']);
    assert.match(policies[0]?.malformed ?? '', /10\.0\.0\.0\/99/);
    assert.equal(policies[0]?.decides, true);
  });

  test('STRICT is told as the PeerAuthentication that it was made of', async () => {
    const strict = policy(
      strictPolicyName,
      { namespace: 'istio-system', scope: 'workload-selector' },
      { notPrincipals: [{ kind: 'presence' }] },
    );
    const named = { named: [`istio-system/${strictPolicyName}`] };
    const plain = await inbound([strict], { ...named, peer: null, transport: 'plaintext' });
    assert.deepEqual([plain.action, plain.policies[0]?.document], ['deny', 'PeerAuthentication STRICT']);
    assert.equal((await inbound([strict], named)).action, 'allow');
    const converted = policy(`${convertedPolicyPrefix}ports`, {}, { destinationPorts: [1] });
    assert.equal((await inbound([converted])).policies[0]?.document, 'PeerAuthentication default/ports');
  });

  test('a dry-run policy decides nothing, and says what it would', async () => {
    const { action, dryRunAllowed, policies } = await inbound([
      policy('tried', { dryRun: true }, { destinationPorts: [8080] }),
    ]);
    assert.deepEqual([action, dryRunAllowed], ['allow', false]);
    assert.deepEqual(
      policies.map(({ dryRun, matches, decides }) => [dryRun, matches, decides]),
      [[true, true, false]],
    );
  });

  test('a pod that is not captured takes plain connections, and no tunnels', async () => {
    const plain = await inbound([], { peer: null, transport: 'plaintext' }, { enrolled: [] });
    assert.equal(plain.action, 'unguarded');
    assert.equal((await inbound([], {}, { enrolled: [] })).action, 'refused');
    const captured = { enrolled: [], captured: ['uid-web'] };
    assert.equal((await inbound([], { peer: null, transport: 'plaintext' }, captured)).action, 'refused');
  });

  test('a pod that takes plain connections itself is asked nothing about them, and policies about tunnels', async () => {
    const strict = policy('strict', {}, { notPrincipals: [{ kind: 'presence' }] });
    const bypassing = { bypassInbound: true };
    const plain = await inbound([strict], { peer: null, transport: 'plaintext', ...bypassing });
    assert.deepEqual([plain.action, plain.reason, plain.policies], ['unguarded', 'bypass_inbound', []]);
    const denial = policy('deny', {}, { principals: [{ kind: 'suffix', value: '/sa/client' }] });
    assert.equal((await inbound([denial], bypassing)).action, 'deny');
  });

  test('of a policy with thousands of rules it shows the first, and says whether a later one matches', async () => {
    const other = { clauses: [[match({ destinationPorts: [1] })]] };
    const last = { clauses: [[match({ destinationPorts: [8080] })]] };
    const rules = [...Array.from({ length: 10_000 }, () => other), last];
    const answer = await inbound([policy('large', { action: 'allow', rules }, {})]);
    assert.equal(answer.policies[0]?.matches, true);
    assert.deepEqual(lines(answer).at(-1), 'one of 9996 further rules matches');
    assert.equal(lines(answer).length, 6);
  });
});
