/** The mesh that the demo shows: two nodes, a client, a server with a replica on each node, two pods at first outside. */

import { join } from 'node:path';

import {
  appLabel,
  authorizationPolicy,
  ManifestFolder,
  namespace,
  peerAuthentication,
  service,
} from '../support/manifests.ts';
import type { Agent } from '../support/agent.ts';
import { Rig } from '../support/rig.ts';
import { endpoint, serve } from '../support/testkit.ts';

export const shop = 'shop';
export const denyPolicy = 'refuse-client';
export const vip = '10.78.0.1';
export const ports = { app: 8080, probed: 8081, service: 80, echo: 8082 } as const;

/** Node 0 holds all but the second replica and the outsider. */
const pods = { client: 0, 'server-near': 0, newcomer: 0, 'server-far': 1, outsider: 1 } as const;

export type PodName = keyof typeof pods;
export type Mode = 'STRICT' | 'PERMISSIVE';

export interface Mesh {
  readonly rig: Rig;
  /** By the place of their node. */
  readonly agents: readonly [Agent, Agent];
  /** What the nodes know of their own pods without a control plane, as from a CNI plugin. */
  readonly nodePods: ManifestFolder;
}

export async function buildPods(): Promise<Rig> {
  const rig = await Rig.create({ pods, feed: 'control' });
  await Promise.all((['server-near', 'server-far'] as const).map((name) => startServer(rig, name)));
  await writePods(rig, 'none');
  await setMode(rig, 'PERMISSIVE');
  return rig;
}

/** Agents on a control plane that runs already. */
export async function startMesh(rig: Rig): Promise<Mesh> {
  const nodePods = new ManifestFolder(join(rig.folder, 'node-pods'));
  await nodePods.write('pods', [namespace(shop)]);
  const flags = ['--manifests', nodePods.path];
  const agents = await Promise.all([rig.startAgent(0, { flags }), rig.startAgent(1, { flags })]);
  return { rig, agents: [agents[0], agents[1]], nodePods };
}

async function startServer(rig: Rig, name: PodName): Promise<void> {
  const servers = [`whoami@[::]:${ports.app}`, `whoami@[::]:${ports.probed}`, `echo@[::]:${ports.echo}`];
  await serve(rig.pod(name).netns, name, servers);
}

/** All pods; the newcomer's own label says whether it belongs to the mesh. */
export async function writePods(rig: Rig, newcomer: 'ambient' | 'none'): Promise<void> {
  const server = { namespace: shop, serviceAccount: 'server', labels: { [appLabel]: 'server' } };
  await rig.manifests.write('shop', [
    namespace(shop),
    rig.podManifest('client', { namespace: shop }),
    rig.podManifest('server-near', { ...server, probePorts: [ports.probed] }),
    rig.podManifest('server-far', { ...server, probePorts: [ports.probed] }),
    rig.podManifest('newcomer', {
      namespace: shop,
      labels: { [appLabel]: 'newcomer', 'istio.io/dataplane-mode': newcomer },
    }),
    service({
      name: 'server',
      namespace: shop,
      vips: [vip],
      ports: { [ports.service]: ports.app },
      selector: { [appLabel]: 'server' },
    }),
    namespace('outside', {}),
    rig.podManifest('outsider', { namespace: 'outside' }),
  ]);
}

export async function setMode(rig: Rig, mode: Mode): Promise<void> {
  await rig.manifests.write('peer-authentication', [peerAuthentication(shop, mode)]);
}

export async function refuseClient(rig: Rig): Promise<void> {
  const from = [{ source: { principals: [`cluster.local/ns/${shop}/sa/client`] } }];
  const spec = { selector: { matchLabels: { [appLabel]: 'server' } }, action: 'DENY', rules: [{ from }] };
  await rig.manifests.write('authorization-policy', [authorizationPolicy(shop, denyPolicy, spec)]);
}

export async function allowClient(rig: Rig): Promise<void> {
  await rig.manifests.remove('authorization-policy');
}

export function address(rig: Rig, name: PodName, port: number = ports.app): string {
  return endpoint(rig.pod(name).ipv4, port);
}
