import { ambientLabel, namespace } from '../test/support/manifests.ts';
import { Rig } from '../test/support/rig.ts';
import { call, endpoint, serve, whoIn } from '../test/support/testkit.ts';
import { ports } from './cells.ts';
import type { Place, Site } from './cells.ts';
import { iperfServer } from './iperf.ts';

/** One rig with or without agents: the same pods, servers and settings, so that the mesh is the only difference. */
export interface Bench {
  readonly rig: Rig;
  readonly sites: Readonly<Record<Place, Site>>;
}

export const congestionControl = 'reno';
const whoPort = 8080;

export async function buildBench(withMesh: boolean): Promise<Bench> {
  const rig = await Rig.create({ pods: { client: 0, near: 0, far: 1 }, congestionControl });
  for (const name of ['near', 'far']) {
    const { netns } = rig.pod(name);
    await serve(netns, name, [`echo@[::]:${ports.echo}`, `echo@[::]:${ports.many}`, `whoami@[::]:${whoPort}`]);
    await iperfServer(netns, ports.iperf);
  }
  if (withMesh) await startMesh(rig);
  const client = rig.pod('client').netns;
  const site = (name: string): Site => ({ netns: client, address: rig.pod(name).ipv4 });
  return { rig, sites: { 'same node': site('near'), 'cross node': site('far') } };
}

async function startMesh(rig: Rig): Promise<void> {
  const pods = rig.pods.map(({ name }) => rig.podManifest(name, { namespace: 'bench' }));
  await rig.manifests.write('bench', [namespace('bench', ambientLabel), ...pods]);
  await rig.prepare();
  const [one, two] = await Promise.all([rig.startAgent(0), rig.startAgent(1)]);
  for (const name of ['near', 'far']) whoIn(await call(rig.pod('client').netns, endpoint(rig.pod(name).ipv4, whoPort)));
  const opened = [...(await one.metrics()), ...(await two.metrics())].filter(({ labels }) =>
    ['mutual_tls', 'node_local'].includes(labels['connection_security_policy'] ?? ''),
  );
  // Measuring a mesh that captured nothing would look splendid.
  if (opened.length === 0) throw new Error('the agents run, but no connection went through the mesh');
}
