import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { main } from '../../../src/cli/program.ts';
import { ControlHarness } from '../../support/control.ts';
import { ControlledAgent } from '../../support/control-agents.ts';
import {
  authorizationPolicy,
  namespace,
  networkPolicy,
  peerAuthentication,
  pod,
  service,
} from '../../support/manifests.ts';
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

  test('try', async () => {
    for (const words of [
      ['shop/client', 'web.shop:80'],
      ['shop/stranger', 'web.shop:80'],
      ['shop/client', 'shop/lonely:80'],
      ['shop/client', '8.8.8.8:53'],
      ['shop/cleint', 'web.shop:80'],
    ]) {
      const { status, output } = await explain(...words);
      console.log(status, output);
    }
  });
});
