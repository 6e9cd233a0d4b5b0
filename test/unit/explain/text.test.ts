import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { explainConnection } from '../../../src/explain/connection.ts';
import { explainInbound } from '../../../src/explain/inbound.ts';
import type { NodeFacts } from '../../../src/explain/node-facts.ts';
import { explainOutbound } from '../../../src/explain/outbound.ts';
import type { Certificate } from '../../../src/explain/shape.ts';
import { describeExplanation } from '../../../src/explain/text.ts';
import { describeVerdict } from '../../../src/explain/verdict.ts';
import type { Policy } from '../../../src/model/policy.ts';
import type { Condition, MeshState, Workload } from '../../../src/model/workload.ts';
import { localPod, meshState, NODE, policy, service, serviceKey, workload } from '../../support/mesh-builders.ts';
import { nodeFacts } from '../../support/node-facts.ts';
import type { FactOptions } from '../../support/node-facts.ts';

const shop = service('shop', { vips: ['10.96.0.1'] });
const behind = new Map([[serviceKey(shop), new Map([[80, 8080]])]]);
const client = workload('client', { addresses: ['10.0.0.1'], node: NODE });
const web = workload('web', { addresses: ['10.0.0.2'], services: behind });
const other = workload('other', { addresses: ['10.0.0.3'], services: behind, status: 'unhealthy' });

interface Mesh {
  readonly workloads?: readonly Workload[];
  readonly policies?: readonly Policy[];
  readonly conditions?: readonly Condition[];
  readonly here?: FactOptions;
  readonly there?: FactOptions;
  /** Nodes whose agents answer. */
  readonly answering?: readonly string[];
  /** Whoever explains knows the whole mesh. */
  readonly whole?: boolean;
}

async function explain(destination: string, mesh: Mesh = {}) {
  const { workloads = [client, web, other], policies = [], conditions = [] } = mesh;
  const { answering = [NODE, 'node-2'], here = {}, there = {}, whole = true } = mesh;
  const state = { ...meshState({ workloads, services: [shop], policies }), conditions };
  const facts = new Map([
    [NODE, await nodeFacts(asSeenBy(NODE, state), { ...here, node: NODE })],
    ['node-2', await nodeFacts(asSeenBy('node-2', state), { ...there, node: 'node-2' })],
  ]);
  const ask =
    <Asked, Answer>(tell: (facts: NodeFacts, asked: Asked) => Answer) =>
    (node: string, asked: Asked): Promise<Answer> => {
      const known = facts.get(node);
      if (known === undefined || !answering.includes(node)) return Promise.reject(new Error('it sleeps'));
      return Promise.resolve(tell(known, asked));
    };
  const agents = { outbound: ask(explainOutbound), inbound: ask(explainInbound) };
  return explainConnection({ state, whole, agents }, { source: 'client', destination, namespace: 'default' });
}

function asSeenBy(node: string, state: MeshState): MeshState {
  const own = [...state.workloads.values()]
    .filter((value) => value.node === node)
    .map((value) => localPod(value, { bypassInbound: value.applicationTunnel?.gateway === true }));
  return { ...state, localPods: new Map(own.map((pod) => [pod.uid, pod])), conditions: [] };
}

const verdict = async (destination: string, mesh: Mesh = {}): Promise<string> =>
  describeVerdict((await explain(destination, mesh)).verdict);

const onlyOthers = policy('only-others', { action: 'allow' }, { principals: [{ kind: 'suffix', value: '/sa/other' }] });

suite('an explanation as text', () => {
  test('goes step by step from the source to the verdict', async () => {
    const conditions = [
      {
        resource: 'AuthorizationPolicy default/only-others',
        type: 'ZtunnelAccepted',
        reason: 'UnsupportedValue',
        message: 'paths are L7',
      },
      { resource: 'Pod default/unrelated', type: 'Enrolled', reason: 'NoNetworkNamespace', message: 'of no concern' },
    ];
    const text = describeExplanation(await explain('shop.default:80', { policies: [onlyOthers], conditions }));
    assert.equal(
      text,
      `default/client → shop.default:80

 1. source        default/client on node-1, spiffe://cluster.local/ns/default/sa/client
                  enrolled: its connections are captured
                  certificate: available until 2030-01-01T00:00:00.000Z
 2. destination   service default/shop.default.svc.cluster.local at 10.96.0.1:80
 3. endpoints     1 of 2 can take it
                    + default/web at 10.0.0.2:8080 on node-2
                    - default/other on node-2: not ready
 4. way           tunnel (HBONE, mutual TLS) to default/web at 10.0.0.2:8080 on node-2: the destination is on another node
                    the server must show spiffe://cluster.local/ns/default/sa/web
 5. server        default/web at 10.0.0.2:8080 on node-2
                  enrolled: its connections are captured
                  certificate: available until 2030-01-01T00:00:00.000Z
 6. policy        spiffe://cluster.local/ns/default/sa/client from 10.0.0.1 to port 8080; 1 policy applies
                    - AuthorizationPolicy default/only-others (ALLOW, its namespace) does not match
                        rule 1: cluster.local/ns/default/sa/client is not in principals: */sa/other
 7. not honoured  AuthorizationPolicy default/only-others: UnsupportedValue: paths are L7

DENIED: there are ALLOW policies, and none of them matches
`,
    );
  });

  test('says of an agent that is silent what it should do, and that this is not known', async () => {
    const text = describeExplanation(await explain('web:80', { answering: [NODE] }));
    assert.match(text, /the agent of node-2 does not tell: it sleeps; what follows is what it should do/);
    assert.match(text, /^UNKNOWN: .*it sleeps; by what is known here it would be ALLOWED: no policy has a say in it$/m);
  });

  test('says so of the agent of the source, too', async () => {
    const text = describeExplanation(await explain('web:80', { answering: [], policies: [onlyOthers] }));
    assert.match(text, /the agent of node-1 does not tell/);
    assert.match(text, /tunnel \(HBONE, mutual TLS\) to default\/web/);
    assert.match(text, /^UNKNOWN: .*would be DENIED/m);
  });
});

suite('a verdict', () => {
  const unavailable: Certificate = { state: 'unavailable', reason: 'the CA is away', notAfter: null };

  test('names the policy that decided', async () => {
    const named = (action: 'allow' | 'deny') => policy(`p-${action}`, { action }, { destinationPorts: [8080] });
    assert.equal(
      await verdict('shop:80', { policies: [named('allow')] }),
      'ALLOWED by AuthorizationPolicy default/p-allow',
    );
    assert.equal(
      await verdict('shop:80', { policies: [named('deny')] }),
      'DENIED by AuthorizationPolicy default/p-deny',
    );
  });

  test('is a refusal where an end has no certificate for the tunnel', async () => {
    assert.match(
      await verdict('web:80', { here: { certificate: unavailable } }),
      /^REFUSED: the client, .*the CA is away/,
    );
    assert.match(
      await verdict('web:80', { there: { certificate: unavailable } }),
      /^REFUSED: the server, .*the CA is away/,
    );
    assert.match(await verdict('web:80', { here: { certificate: null } }), /^REFUSED: the client, .*is there a CA/);
  });

  test('needs no certificate within a node', async () => {
    const near = { ...web, node: NODE };
    const mesh = { workloads: [client, near], here: { certificate: unavailable } };
    assert.equal(await verdict('web:80', mesh), 'ALLOWED: no policy has a say in it');
  });

  test('is a refusal where an end is not served', async () => {
    assert.match(await verdict('web:80', { there: { enrolled: [] } }), /^REFUSED: no agent serves default\/web yet/);
    const captured = { enrolled: [], captured: ['uid-client'] };
    assert.match(await verdict('web:80', { here: captured }), /^REFUSED: default\/client is captured, but no agent/);
  });

  test('is a refusal where nobody is left', async () => {
    assert.match(await verdict('shop:81'), /^REFUSED: the service has no endpoint that can take it/);
  });

  test('is a permission where the mesh has no say', async () => {
    assert.match(await verdict('192.0.2.1:80'), /^ALLOWED: nobody of the mesh has 192\.0\.2\.1:80/);
    assert.match(await verdict('10.0.0.1:80'), /^ALLOWED: the address is the pod’s own/);
    const outside = { ...web, protocol: 'tcp' as const };
    assert.match(
      await verdict('web:80', { workloads: [client, outside] }),
      /^ALLOWED: default\/web is outside the mesh/,
    );
  });

  test('depends on the endpoint where they differ, and each tells its own', async () => {
    const workloads = [client, web, { ...other, status: 'healthy' as const }];
    const policies = [policy('by-ip', {}, { destinationIps: ['10.0.0.3/32'] })];
    const explanation = await explain('shop:80', { workloads, policies });
    assert.equal(explanation.verdict.outcome, 'mixed');
    const text = describeExplanation(explanation);
    assert.match(text, /ALLOWED: no policy has a say in it/);
    assert.match(text, /DENIED by AuthorizationPolicy default\/by-ip/);
  });

  test('of an agent that knows addresses on demand is what it will be told', async () => {
    const mesh = { here: { onDemand: true }, policies: [onlyOthers] };
    const text = describeExplanation(await explain('shop:80', mesh));
    assert.match(text, /certificate: available/);
    assert.match(text, /the agent of node-1 has not asked for it yet; the first connection waits/);
    assert.match(text, /^DENIED: there are ALLOW policies/m);
    assert.match(await verdict('shop:80', { ...mesh, whole: false }), /^UNKNOWN: .*on demand/);
  });

  test('of many endpoints says how many were looked at', async () => {
    const many = Array.from({ length: 7 }, (_, index) =>
      workload(`w${index}`, { addresses: [`10.0.1.${index}`], services: behind }),
    );
    assert.match(await verdict('shop:80', { workloads: [client, ...many] }), /\(5 of 7 endpoints were looked at\)$/);
  });
});

suite('what is explained of a gateway', () => {
  const proxy = { protocol: 'proxy', port: 15088, gateway: true } as const;

  test('plain connections to it are its own to take, and tunnels meet policies', async () => {
    const workloads = [client, { ...web, applicationTunnel: proxy }];
    const mesh = { workloads, policies: [onlyOthers] };
    assert.match(
      await verdict('10.0.0.2:8080', { ...mesh, here: { enrolled: [] } }),
      /^ALLOWED: default\/web takes plain connections itself, as gateways do/,
    );
    assert.match(await verdict('10.0.0.2:8080', mesh), /^DENIED/);
  });

  test('its own connections are those of a proxy', async () => {
    const workloads = [{ ...client, applicationTunnel: proxy }, web];
    const text = describeExplanation(await explain('10.0.0.2:8080', { workloads }));
    assert.match(text, /a proxy: its routes say where it connects to/);
  });
});
