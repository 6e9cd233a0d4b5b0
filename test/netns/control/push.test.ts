import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';

import { namespace, pod, service } from '../../support/manifests.ts';
import { Mesh } from '../../support/mesh.ts';
import { sum } from '../../support/metrics.ts';
import { dropping } from '../../support/packet-filter.ts';
import { rootSuite } from '../../support/suite.ts';
import { hold, storm } from '../../support/testkit.ts';
import type { StormResult } from '../../support/testkit.ts';
import { waitFor } from '../../support/wait.ts';

const member = { namespace: 'shop' } as const;
const workloads = 2000;
const target = 'crowd/crowd.crowd.svc.cluster.local';

interface Dump {
  readonly workloads: readonly { readonly name: string; readonly services: Readonly<Record<string, object>> }[];
  readonly services: readonly object[];
  readonly policies: readonly object[];
}

/** Every workload of a crowd changes with one edit, and the control plane is killed while it tells of that. */
rootSuite('a control plane killed in the middle of a push', () => {
  let mesh: Mesh;
  before(async () => {
    mesh = await Mesh.create({
      pods: { client: 0, far: 1 },
      members: { client: member, far: member },
      servers: { far: ['echo@[::]:8081'] },
    });
    const crowd = Array.from({ length: workloads }, (_, index) =>
      pod({
        ...{ name: `crowd-${index}`, namespace: 'crowd', nodeName: 'elsewhere', netns: 'none' },
        ...{ addresses: [`10.200.${index >> 8}.${index & 255}`], labels: { app: 'crowd' } },
      }),
    );
    // As JSON, which is YAML that is written and read much faster.
    const lines = [namespace('crowd'), ...crowd].map((document) => JSON.stringify(document));
    await mesh.rig.manifests.writeText('crowd.yaml', lines.join('\n---\n'));
    await mesh.apply('turn', [turn(0)]);
  });
  after(() => mesh.remove());

  /** A Service of all of them: its port is in each of their resources. */
  function turn(number: number): ReturnType<typeof service> {
    const ports = { [1000 + number]: 8080 };
    return service({ name: 'crowd', namespace: 'crowd', vips: ['10.96.3.1'], ports, selector: { app: 'crowd' } });
  }

  /** Moments of a push. Each resolves when the push has come so far. */
  const moments: Readonly<Record<string, () => Promise<unknown>>> = {
    'before anything of it is sent': () => Promise.resolve(),
    'when the first agent is being sent it': () =>
      grown(() => mesh.rig.control.metrics(), 'pilot_xds_pushes', { type: 'Address' }),
    'when an agent has received it': () =>
      grown(() => mesh.agent(1).metrics(), 'istio_xds_message_bytes_total', { url: /Address$/ }),
  };

  async function grown(
    metrics: () => ReturnType<Mesh['reader']['metrics']>,
    name: string,
    labels: Readonly<Record<string, string | RegExp>>,
  ): Promise<void> {
    const before = sum(await metrics(), name, labels);
    const look = async (): Promise<boolean> => sum(await metrics(), name, labels) > before;
    await waitFor(look, { timeout: 20_000, interval: 1, what: `growth of ${name}` });
  }

  function traffic(): Promise<StormResult> {
    return storm(mesh.netns('client'), [mesh.at('far', 8081), '--duration', '3000']);
  }

  let turns = 0;
  for (const [moment, comes] of Object.entries(moments)) {
    it(`${moment}: flows go on, nothing is in plaintext, and all of it arrives in the end`, async () => {
      const number = ++turns;
      const held = await hold(mesh.netns('client'), [mesh.at('far', 8081)]);
      const [stormed, plaintext] = await dropping(mesh.rig.node(0).netns, 'forward', 'tcp dport { 8081 }', async () => {
        const passing = traffic();
        const come = comes();
        await mesh.rig.manifests.write('turn', [turn(number)]);
        await come;
        await mesh.rig.control.stop('SIGKILL');
        await mesh.rig.startControl();
        await arrived(number);
        return passing;
      });
      assert.deepEqual(stormed.failures, {});
      assert.ok(stormed.connections > 100, `${stormed.connections} connections`);
      assert.equal(plaintext, 0);
      held.write('exchange 0 5000\n');
      assert.match(await held.line((line) => line.includes('"exchange"')), /"bytes":5000,"end":"open"/);
      await held.finish();
    });
  }

  it('leaves an agent that lived through it with what one has that starts afterwards', async () => {
    const survivor = await dumpOf(0);
    await mesh.agent(1).stop('SIGKILL');
    await mesh.startAgent(1);
    const fresh = await dumpOf(1);
    assert.equal(survivor.workloads.length, workloads + 2);
    for (const kind of ['workloads', 'services', 'policies'] as const) {
      assert.deepEqual(sorted(survivor[kind]), sorted(fresh[kind]), `the agents differ in their ${kind}`);
    }
  });

  /** At both agents, for every workload of the crowd. */
  async function arrived(number: number): Promise<void> {
    await mesh.rig.control.reached(
      mesh.rig.nodes.map(({ name }) => name),
      0,
    );
    assert.deepEqual([await countAt(0, number), await countAt(1, number)], [workloads, workloads]);
  }

  async function countAt(place: number, number: number): Promise<number> {
    const { workloads: found } = await dumpOf(place);
    return found.filter(({ services }) => Object.hasOwn(services[target] ?? {}, 1000 + number)).length;
  }

  async function dumpOf(place: number): Promise<Dump> {
    const { status, body } = await mesh.agent(place).page('admin', '/config_dump');
    assert.equal(status, 200);
    return JSON.parse(body) as Dump;
  }
});

function sorted(entries: readonly object[]): readonly string[] {
  return entries.map((entry) => JSON.stringify(entry)).sort();
}
