import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { status as grpcStatus } from '@grpc/grpc-js';
import { explanationSchema } from '../../../src/explain/shape.ts';
import { longestAnswer } from '../../../src/explain/wire.ts';
import { main } from '../../../src/cli/program.ts';
import { ControlHarness } from '../../support/control.ts';
import { ControlledAgent } from '../../support/control-agents.ts';
import { authorizationPolicy, namespace, peerAuthentication, pod, service } from '../../support/manifests.ts';
import { RawAgent } from '../../support/raw-agent.ts';
import { waitFor } from '../../support/wait.ts';
import type { Manifest } from '../../support/manifests.ts';

const shop = 'shop';
const principal = 'cluster.local/ns/shop/sa/client';

function member(
  name: string,
  nodeName: string,
  address: string,
  options: Partial<Parameters<typeof pod>[0]> = {},
): Manifest {
  return pod({ name, namespace: shop, nodeName, netns: name, addresses: [address], labels: { app: name }, ...options });
}

const mesh: readonly Manifest[] = [
  namespace(shop),
  namespace('outside', {}),
  member('client', 'node-1', '10.0.0.1'),
  member('stranger', 'node-1', '10.0.0.3'),
  member('web', 'node-2', '10.0.0.2'),
  member('web-next', 'node-2', '10.0.0.4', { labels: { app: 'web' }, ready: false }),
  member('lonely', 'node-3', '10.0.0.5'),
  service({ name: 'web', namespace: shop, vips: ['10.1.0.1'], ports: { 80: 8080 }, selector: { app: 'web' } }),
  authorizationPolicy(shop, 'only-client', {
    selector: { matchLabels: { app: 'web' } },
    action: 'ALLOW',
    rules: [{ from: [{ source: { principals: [principal] } }] }],
  }),
];

interface Outcome {
  readonly status: number;
  readonly output: string;
}

suite('ambit explain with a control plane', () => {
  let control: ControlHarness;
  const agents: ControlledAgent[] = [];

  before(async () => {
    control = await ControlHarness.start(mesh);
    agents.push(await ControlledAgent.start(control, 'node-1', 2), await ControlledAgent.start(control, 'node-2', 2));
  });

  after(async () => {
    for (const agent of agents) await agent.stop();
    await control.stop();
  });

  async function explain(...words: readonly string[]): Promise<Outcome> {
    let output = '';
    const context = { environment: {}, output: (text: string) => (output += text), version: 'test', addon: '' };
    const status = await main(['explain', '--control-debug', control.debug, ...words], context);
    return { status, output };
  }

  test('allowed is status 0, with the policy that decided on the other node', async () => {
    const { status, output } = await explain('shop/client', 'web.shop:80');
    assert.equal(status, 0);
    assert.match(output, /enrolled: its connections are captured\n +certificate: available until /);
    assert.match(
      output,
      /1 of 2 can take it\n +\+ shop\/web at 10\.0\.0\.2:8080 on node-2\n +- shop\/web-next on node-2: not ready/,
    );
    assert.match(output, /the server must show spiffe:\/\/cluster\.local\/ns\/shop\/sa\/web/);
    assert.match(output, /\nALLOWED by AuthorizationPolicy shop\/only-client\n$/);
  });

  test('denied is status 2', async () => {
    const { status, output } = await explain('shop/stranger', 'web.shop:80');
    assert.equal(status, 2);
    assert.match(output, /^DENIED: there are ALLOW policies/m);
  });

  test('an agent that is not there makes it unknown, status 1', async () => {
    const { status, output } = await explain('-n', 'shop', 'client', 'lonely:80');
    assert.equal(status, 1);
    assert.match(output, /^UNKNOWN: the agent of node-3 does not tell: \[AGENT_ABSENT\].* would be ALLOWED/m);
  });

  test('follows what changes', async () => {
    const strict = peerAuthentication(shop, 'STRICT');
    await control.manifests.write('strict', [strict]);
    try {
      const decided = async (): Promise<boolean> =>
        /STRICT/.test((await explain('shop/client', 'shop/web:8080')).output);
      await waitFor(decided, { what: 'the policy in the explanation' });
    } finally {
      await control.manifests.remove('strict');
    }
  });

  test('conditions of what is involved are told, of nothing else', async () => {
    const l7 = { to: [{ operation: { paths: ['/'] } }] };
    const unclear = (name: string, app: string): Manifest =>
      authorizationPolicy(shop, name, { selector: { matchLabels: { app } }, action: 'ALLOW', rules: [l7] });
    await control.manifests.write('unclear', [unclear('involved', 'web'), unclear('elsewhere', 'lonely')]);
    try {
      const output = await waitFor(
        async () => {
          const text = (await explain('shop/client', 'web.shop:80')).output;
          return text.includes('not honoured') ? text : null;
        },
        { what: 'the condition' },
      );
      assert.match(output, /not honoured +AuthorizationPolicy shop\/involved/);
      assert.doesNotMatch(output, /elsewhere/);
    } finally {
      await control.manifests.remove('unclear');
    }
  });

  test('as JSON it is what programs read', async () => {
    const { output } = await explain('shop/client', 'web.shop:80', '-o', 'json');
    const { outbound, paths, verdict } = explanationSchema.parse(JSON.parse(output));
    assert.deepEqual([outbound.basis, paths[0]?.inbound?.basis, verdict.outcome], ['agent', 'agent', 'allowed']);
  });

  test('names that mean nothing, and flags that are wrong, are status 1: 2 says denied', async () => {
    for (const words of [
      ['shop/cleint', 'web.shop:80'],
      ['shop/client', 'web.shop'],
      ['shop/client'],
      ['a', 'b:1', '--bad'],
    ]) {
      assert.equal((await explain(...words)).status, 1, words.join(' '));
    }
    assert.equal((await explain('shop/client', 'web.shop:80', '-o', 'yaml')).status, 1);
  });

  test('the page tells what is wrong with a request', async () => {
    const page = async (query: string) => {
      const response = await fetch(`${control.debug}/debug/explain?${query}`);
      return {
        status: response.status,
        body: (await response.json()) as { readonly error?: { readonly message: string } },
      };
    };
    const unknown = await page('source=shop/cleint&destination=web.shop:80');
    assert.equal(unknown.status, 404);
    assert.match(unknown.body.error?.message ?? '', /did you mean shop\/client/);
    assert.equal((await page('source=shop/client&destination=web.shop')).status, 400);
    assert.equal((await page('')).status, 400);
  });

  test('a control plane that does not answer is told as that', async () => {
    const context = { environment: {}, output: () => undefined, version: 'test', addon: '' };
    assert.equal(await main(['explain', '--control-debug', 'http://127.0.0.1:1', 'a', 'b:1'], context), 1);
  });

  test('one agent alone tells its own half, and what the other should do', async () => {
    const [agent] = agents;
    assert.ok(agent);
    const { status, output } = await explain('shop/client', 'web.shop:80', '--admin', await agent.admin());
    assert.equal(status, 1);
    assert.match(output, /only the agent of node-1 was asked/);
    assert.match(output, /would be ALLOWED by AuthorizationPolicy shop\/only-client/);
  });
});

suite('questions to agents', () => {
  let control: ControlHarness;

  before(async () => {
    control = await ControlHarness.start(mesh);
  });

  after(() => control.stop());

  const ask = async (): Promise<string> => {
    const url = `${control.debug}/debug/explain?source=shop/client&destination=192.0.2.1:80`;
    return explanationSchema.parse(await (await fetch(url)).json()).problem ?? '';
  };

  test('an answer that is none is told, and the rest is assumed', async () => {
    const agent = await RawAgent.connect(control, { claims: 'node-1' });
    try {
      for (const [content, problem] of [
        [{ case: 'explanation', value: '{"end":"outbound"}' }, /AGENT_UNREADABLE/],
        [{ case: 'explanation', value: 'no JSON' }, /AGENT_UNREADABLE/],
        [{ case: 'failure', value: 'not today' }, /AGENT_FAILED.*not today/],
      ] as const) {
        agent.says = content;
        assert.match(await ask(), problem);
      }
    } finally {
      agent.close();
    }
  });

  test('an answer that is too long ends the stream', async () => {
    const agent = await RawAgent.connect(control, { claims: 'node-1' });
    agent.says = { case: 'explanation', value: ' '.repeat(longestAnswer + 1) };
    assert.match(await ask(), /AGENT_GONE/);
    assert.equal(await agent.ended, grpcStatus.RESOURCE_EXHAUSTED);
    assert.match(await ask(), /AGENT_ABSENT/);
  });

  test('the newest stream of a node counts, but a word never displaces a proof', async () => {
    const first = await RawAgent.connect(control, { claims: 'node-1' });
    const second = await RawAgent.connect(control, { token: await control.token({ node: 'node-1' }) });
    assert.equal(await first.ended, grpcStatus.ABORTED);
    const third = await RawAgent.connect(control, { claims: 'node-1' });
    assert.equal(await third.ended, grpcStatus.ALREADY_EXISTS);
    second.says = { case: 'failure', value: 'the second' };
    assert.match(await ask(), /the second/);
    assert.match(await control.metrics.registry.metrics(), /^ambit_inspections_total\{result="failed"\} [1-9]/m);
    second.close();
  });

  test('a token names the node, whatever the agent says', async () => {
    const agent = await RawAgent.connect(control, { token: await control.token({ node: 'node-9' }), claims: 'node-1' });
    assert.match(await ask(), /AGENT_ABSENT/);
    agent.close();
  });

  test('whoever proves nothing, or is a workload, is not listened to', async () => {
    const nobody = await RawAgent.connect(control, { token: 'no token' });
    assert.equal(await nobody.ended, grpcStatus.UNAUTHENTICATED);
    const workload = await RawAgent.connect(control, { token: await control.token({ pod: 'shop/client' }) });
    assert.equal(await workload.ended, grpcStatus.PERMISSION_DENIED);
  });
});
