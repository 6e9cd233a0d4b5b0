import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { after, before, describe, it } from 'node:test';

import type { Agent, AgentFeed } from '../../support/agent.ts';
import { askAs } from '../../support/certificates.ts';
import { Mesh } from '../../support/mesh.ts';
import { sum } from '../../support/metrics.ts';
import { rootSuite } from '../../support/suite.ts';
import { call, wasReset, whoIn } from '../../support/testkit.ts';
import { faultyToken } from '../../support/tokens.ts';
import type { TokenFaults } from '../../support/tokens.ts';
import { waitFor } from '../../support/wait.ts';

const member = { namespace: 'shop' } as const;
const identity = (account: string): string => `spiffe://cluster.local/ns/shop/sa/${account}`;
const terminations = 'istio_xds_connection_terminations_total';
const authenticationFailures = 'citadel_server_authentication_failure_count';

interface BadToken {
  readonly faults: TokenFaults;
  /** What the control plane writes about it. */
  readonly reason: RegExp;
  /** It is good for somebody, only not for this node. */
  readonly authentic?: boolean;
}

/** Proofs that are not good, with the real agent and the real control plane. */
rootSuite('what a control plane refuses', () => {
  let mesh: Mesh;
  /** Of the first node, the one that runs now. */
  let current: Agent;
  let starts = 0;
  before(async () => {
    mesh = await Mesh.create({
      pods: { client: 0, near: 0, far: 1 },
      members: { client: member, near: member, far: member },
      servers: { near: ['whoami@[::]:8080'], far: ['whoami@[::]:8080'] },
    });
    current = mesh.agent(0);
  });
  after(() => mesh.remove());

  it('is a certificate for a pod of another node', async () => {
    const refused = 'a certificate was refused';
    assert.equal((await askAs(mesh.agent(0), identity('client'))).issued, true);
    const outcome = await askAs(mesh.agent(1), identity('client'));
    assert.deepEqual([outcome.issued, outcome.code], [false, 'CA_REFUSED']);
    assert.match(outcome.message ?? '', /no pod of the mesh that runs on node \S+-two/);
    const line = await mesh.rig.control.process.line((text) => text.includes(refused));
    assert.match(line, /"level":"warn"/);
  });

  describe('is a token', () => {
    const bad: Readonly<Record<string, BadToken>> = {
      'that has expired': { faults: { endedAgo: 600_000 }, reason: /the token has expired/ },
      'for another audience': { faults: { audience: 'vault' }, reason: /the token is not for istio-ca/ },
      'of another node': {
        faults: { node: 'elsewhere' },
        reason: /the token is that of node elsewhere, and the client says that it runs on node/,
        authentic: true,
      },
    };
    for (const [what, expected] of Object.entries(bad)) it(what, () => refuses(expected));
  });

  /** A start with a bad token, and without what a former agent has kept, leaves the pods closed, says why at both ends, and heals with a good one. */
  async function refuses({ faults, reason, authentic = false }: BadToken): Promise<void> {
    await current.stop('SIGKILL');
    const failures = async (): Promise<number> => sum(await mesh.rig.control.metrics(), authenticationFailures);
    const before = await failures();
    const { feed, tokenFile } = await feedWith(faults);
    current = await mesh.rig.launchAgent(0, { feed, stateDir: join(mesh.rig.folder, `state-${++starts}`) });
    await isTold(current, tokenFile);
    await mesh.rig.control.process.line((line) => reason.test(line));
    if (!authentic) await waitFor(async () => (await failures()) > before, { what: 'a caller not authenticated' });
    await assertClosed();
    await writeFile(tokenFile, await faultyToken(stateDir(), mesh.rig.node(0).name, {}));
    await current.ready();
    assert.equal(whoIn(await call(mesh.netns('client'), mesh.at('far', 8080))).server, 'far');
  }

  async function feedWith(faults: TokenFaults): Promise<{ readonly feed: AgentFeed; readonly tokenFile: string }> {
    const feed = await mesh.rig.feedOf(0);
    assert.ok(feed.kind === 'control');
    const tokenFile = join(dirname(feed.tokenFile), 'faulty.token');
    await writeFile(tokenFile, await faultyToken(stateDir(), mesh.rig.node(0).name, faults), { mode: 0o600 });
    return { feed: { ...feed, tokenFile }, tokenFile };
  }

  async function isTold(agent: Agent, tokenFile: string): Promise<void> {
    const line = await agent.process.line((text) => text.includes('CONTROL_REFUSED'));
    assert.match(line, /"level":"warn"/);
    assert.ok(line.includes(tokenFile), line);
    assert.doesNotMatch(agent.log(), /eyJ/, 'no log holds a token');
    const errors = async (): Promise<number> => sum(await agent.metrics(), terminations, { reason: 'Error' });
    await waitFor(async () => (await errors()) > 0, { what: 'a failed connection in the metrics' });
    assert.match((await agent.readiness()).body, /pending:.*control plane/);
  }

  async function assertClosed(): Promise<void> {
    const ways = [
      ['client', 'far'],
      ['client', 'near'],
      ['far', 'near'],
    ] as const;
    for (const [from, to] of ways) {
      const result = await call(mesh.netns(from), mesh.at(to, 8080));
      assert.ok(wasReset(result), `${from} to ${to}: ${JSON.stringify(result)}`);
    }
  }

  function stateDir(): string {
    return mesh.rig.control.options.stateDir;
  }
});
