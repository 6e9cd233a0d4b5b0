import assert from 'node:assert/strict';

import { askAs, identitiesOf } from '../support/certificates.ts';
import { namespace } from '../support/manifests.ts';
import { sum } from '../support/metrics.ts';
import { call, hold, whoIn } from '../support/testkit.ts';
import { waitFor } from '../support/wait.ts';
import { address, allowClient, ports, refuseClient, shop } from './mesh.ts';
import type { Mesh } from './mesh.ts';
import {
  becomesAllowed,
  becomesRefused,
  editLimit,
  exchange,
  from,
  logged,
  startsWithAddress,
} from './observations.ts';
import type { Claim } from './table.ts';

/** What the control plane is to the agents; each leaves the mesh as it found it. */
export function controlClaims(mesh: Mesh): readonly Claim[] {
  return [
    { name: 'certificates: of own pods only', prove: () => ownCertificates(mesh) },
    { name: 'control plane killed: all goes on', prove: () => withoutControl(mesh) },
    { name: 'control plane back: edits arrive', prove: () => controlReturns(mesh) },
  ];
}

function identity(account: string): string {
  return `spiffe://cluster.local/ns/${shop}/sa/${account}`;
}

/** The client runs on the first node alone. */
async function ownCertificates(mesh: Mesh): Promise<string> {
  const [here, there] = mesh.agents;
  assert.deepEqual(await identitiesOf(here), [identity('client'), identity('server')]);
  assert.deepEqual(await identitiesOf(there), [identity('server')]);
  const [own, foreign] = await Promise.all([askAs(here, identity('client')), askAs(there, identity('client'))]);
  assert.ok(own.issued, `the CA refused a node its own pod: ${own.message ?? ''}`);
  assert.equal(foreign.code, 'CA_REFUSED', 'a node got the certificate of a pod that it does not run');
  const issued = sum(await mesh.rig.control.metrics(), 'citadel_server_success_cert_issuance_count');
  return `${issued} issued; node two asked for ${identity('client')}: ${foreign.code}`;
}

async function withoutControl(mesh: Mesh): Promise<string> {
  const target = address(mesh.rig, 'server-far');
  const held = await hold(mesh.rig.pod('client').netns, [address(mesh.rig, 'server-far', ports.echo)]);
  try {
    await exchange(held);
    await mesh.rig.control.stop('SIGKILL');
    await exchange(held);
    whoIn(await from(mesh, 'client', target));
    await newPodWorks(mesh, target);
  } finally {
    await held.finish();
  }
  return 'held and new connections; a new pod has identity …/sa/client';
}

/** Its node learns of it by itself; its certificate is there already, for another pod has the same identity. */
async function newPodWorks(mesh: Mesh, target: string): Promise<void> {
  const { ipv4, netns } = await mesh.rig.addPod('late', 0);
  const late = mesh.rig.podManifest('late', { namespace: shop, serviceAccount: 'client' });
  await mesh.nodePods.write('pods', [namespace(shop), late]);
  const query = {
    direction: 'inbound',
    'src.addr': startsWithAddress(`${ipv4}:0`),
    'src.identity': identity('client'),
  };
  const withIdentity = async (): Promise<boolean> => {
    const { ok } = await call(netns, target);
    return ok && (await logged(mesh.agents[1], query).then(() => true));
  };
  await waitFor(withIdentity, { timeout: editLimit, what: 'a new pod with the identity of the client' });
  await mesh.nodePods.write('pods', [namespace(shop)]);
}

async function controlReturns(mesh: Mesh): Promise<string> {
  const target = address(mesh.rig, 'server-far');
  const begun = Date.now();
  await mesh.rig.startControl();
  const started = Date.now();
  await refuseClient(mesh.rig);
  try {
    await becomesRefused(mesh, 'client', target);
    return `restarted in ${started - begun} ms; a policy was in force ${Date.now() - started} ms after it was written`;
  } finally {
    await allowClient(mesh.rig);
    await becomesAllowed(mesh, 'client', target);
  }
}
