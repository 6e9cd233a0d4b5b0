import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';

import { findLines } from '../support/access-log.ts';
import { call, calls, capture, hold, whoIn } from '../support/testkit.ts';
import { linkInterface } from '../support/topology.ts';
import { waitFor } from '../support/wait.ts';
import { controlClaims } from './control-claims.ts';
import { address, allowClient, denyPolicy, ports, refuseClient, setMode, shop, vip, writePods } from './mesh.ts';
import type { Mesh, PodName } from './mesh.ts';
import {
  assertClient,
  becomesAllowed,
  becomesRefused,
  counted,
  editLimit,
  ending,
  exchange,
  from,
  grows,
  logged,
  startsWithAddress,
} from './observations.ts';
import type { Claim } from './table.ts';

/** Whom a Service of two replicas is called often enough to meet both by chance alone all but never missing one. */
const balancedCalls = 24;

/** In the order in which they are shown; each leaves the mesh as it found it. */
export function claims(mesh: Mesh): readonly Claim[] {
  return [
    { name: 'same node: joined without a wire', prove: () => sameNode(mesh) },
    { name: 'cross node: mutual TLS', prove: () => crossNode(mesh) },
    { name: 'Service VIP: balanced', prove: () => balanced(mesh) },
    { name: 'outsider, PERMISSIVE: allowed', prove: () => outsiderAllowed(mesh) },
    { name: 'outsider, STRICT: refused', prove: () => outsiderRefused(mesh) },
    { name: 'probed port, STRICT: the prober only', prove: () => prober(mesh) },
    { name: 'AuthorizationPolicy: refused by name', prove: () => refusedByPolicy(mesh) },
    { name: 'enrolled and un-enrolled live', prove: () => liveEnrolment(mesh) },
    ...controlClaims(mesh),
  ];
}

async function sameNode(mesh: Mesh): Promise<string> {
  const [agent] = mesh.agents;
  const before = await counted(agent, 'istio_tcp_connections_opened_total', {
    connection_security_policy: 'node_local',
  });
  const answer = whoIn(await from(mesh, 'client', address(mesh.rig, 'server-near')));
  assert.equal(answer.server, 'server-near');
  assertClient(mesh, answer.peer);
  await grows(agent, 'istio_tcp_connections_opened_total', { connection_security_policy: 'node_local' }, before);
  return `${answer.peer} → ${answer.local}, connection_security_policy=node_local`;
}

async function crossNode(mesh: Mesh): Promise<string> {
  const [here, there] = mesh.agents;
  const needle = randomBytes(16).toString('hex');
  const policy = { connection_security_policy: 'mutual_tls', reporter: 'destination' };
  const before = await counted(there, 'istio_tcp_connections_opened_total', policy);
  const listening = await capture(mesh.rig.node(0).netns, linkInterface, [needle]);
  const echoed = await from(mesh, 'client', address(mesh.rig, 'server-far', ports.echo), ['--send', needle]);
  const seen = await listening.finish();
  assert.equal(echoed.text, needle, `the echo came back as ${JSON.stringify(echoed)}`);
  assert.equal(seen.dropped, 0, 'the capture lost packets, so it proves nothing');
  assert.equal(seen.needles[needle], 0, 'the payload was readable on the link between the nodes');
  const tunnel = Object.keys(seen.flows).filter((flow) => flow.includes(':15008'));
  assert.ok(tunnel.length > 0, `no packet to port 15008 on the link: ${JSON.stringify(seen)}`);
  await grows(there, 'istio_tcp_connections_opened_total', policy, before);
  const line = await logged(there, {
    'dst.workload': 'server-far',
    direction: 'inbound',
    'src.identity': /sa\/client$/,
  });
  await logged(here, { 'dst.workload': 'server-far', direction: 'outbound' });
  return `${JSON.stringify(line['src.identity'])}; ${seen.packets} packets on the link, none with the payload`;
}

async function balanced(mesh: Mesh): Promise<string> {
  const targets = Array.from({ length: balancedCalls }, () => `${vip}:${ports.service}`);
  const results = await calls(mesh.rig.pod('client').netns, targets);
  const servers = results.map((result) => whoIn(result).server);
  const share = (name: PodName): number => servers.filter((server) => server === name).length;
  const [near, far] = [share('server-near'), share('server-far')];
  assert.ok(near > 0 && far > 0, `of ${servers.length} calls ${near} reached the near and ${far} the far replica`);
  assert.ok(
    results.every(({ peer }) => peer === `${vip}:${ports.service}`),
    'getpeername shows another address',
  );
  return `${near} calls to the near replica, ${far} to the far one; getpeername says ${vip}:${ports.service}`;
}

async function outsiderAllowed(mesh: Mesh): Promise<string> {
  const answer = whoIn(await from(mesh, 'outsider', address(mesh.rig, 'server-near')));
  const line = await logged(mesh.agents[0], { direction: 'inbound', 'src.addr': startsWithAddress(answer.peer) });
  assert.equal(line['src.identity'] ?? '', '', 'a plaintext caller was given an identity');
  return `${answer.peer} → ${answer.server}, without identity`;
}

async function outsiderRefused(mesh: Mesh): Promise<string> {
  await setMode(mesh.rig, 'STRICT');
  try {
    const refused = await becomesRefused(mesh, 'outsider', address(mesh.rig, 'server-near'));
    const answer = whoIn(await from(mesh, 'client', address(mesh.rig, 'server-near')));
    return `${ending(refused)}; the client still reaches ${answer.server}`;
  } finally {
    await setMode(mesh.rig, 'PERMISSIVE');
  }
}

async function prober(mesh: Mesh): Promise<string> {
  await setMode(mesh.rig, 'STRICT');
  try {
    await becomesRefused(mesh, 'outsider', address(mesh.rig, 'server-near'));
    const host = mesh.rig.node(0).netns;
    const probed = await call(host, address(mesh.rig, 'server-near', ports.probed));
    assert.ok(probed.ok, `the probe failed: ${JSON.stringify(probed)}`);
    const other = await call(host, address(mesh.rig, 'server-near'));
    assert.ok(!other.ok, `the host reached port ${ports.app} as well`);
    const outsider = await from(mesh, 'outsider', address(mesh.rig, 'server-near', ports.probed));
    assert.ok(!outsider.ok, 'the outsider reached the probed port as well');
    return `host process: ${ports.probed} answered, ${ports.app} ${ending(other)}; outsider on ${ports.probed}: ${ending(outsider)}`;
  } finally {
    await setMode(mesh.rig, 'PERMISSIVE');
    await becomesAllowed(mesh, 'outsider', address(mesh.rig, 'server-near'));
  }
}

async function refusedByPolicy(mesh: Mesh): Promise<string> {
  const [, there] = mesh.agents;
  const policy = `${shop}/${denyPolicy}`;
  await refuseClient(mesh.rig);
  try {
    const refused = await becomesRefused(mesh, 'client', address(mesh.rig, 'server-far'));
    await logged(there, { direction: 'inbound', policy });
    await grows(there, 'ambit_policy_denied_connections_total', { policy }, 0);
    return `${ending(refused)}; ${policy} in access log and metric`;
  } finally {
    await allowClient(mesh.rig);
    await becomesAllowed(mesh, 'client', address(mesh.rig, 'server-far'));
  }
}

/** One process in the pod holds a connection through all of it: nothing in the pod is restarted. */
async function liveEnrolment(mesh: Mesh): Promise<string> {
  const held = await hold(mesh.rig.pod('newcomer').netns, [address(mesh.rig, 'server-far', ports.echo)]);
  const withIdentity = (wanted: boolean): Promise<unknown> =>
    waitFor(() => seenWithIdentity(mesh, wanted), { timeout: editLimit, what: `identity of newcomer: ${wanted}` });
  try {
    await withIdentity(false);
    await writePods(mesh.rig, 'ambient');
    await withIdentity(true);
    await exchange(held);
    await writePods(mesh.rig, 'none');
    await withIdentity(false);
    await exchange(held);
  } finally {
    await writePods(mesh.rig, 'none');
    await held.finish();
  }
  return 'plaintext → identity …/sa/newcomer → plaintext; a connection from before stayed open';
}

/** Makes a connection and looks what its destination logged about it. */
async function seenWithIdentity(mesh: Mesh, wanted: boolean): Promise<boolean> {
  const [, there] = mesh.agents;
  const before = (await there.accessLog()).length;
  const { ok } = await from(mesh, 'newcomer', address(mesh.rig, 'server-far'));
  if (!ok) return false;
  const line = await waitFor(
    async () =>
      findLines((await there.accessLog()).slice(before), { direction: 'inbound', 'dst.workload': 'server-far' })[0],
    { timeout: 3_000, what: 'the access-log line of the call' },
  );
  return findLines([line], { 'src.identity': /sa\/newcomer"?$/ }).length > 0 === wanted;
}
