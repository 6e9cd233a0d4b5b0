import { root } from '../../support/paths.ts';
import { exec } from '../../support/processes.ts';
import type { Cluster } from './cluster.ts';

/** The definitions of the Gateway API that waypoints and gateways need, as a user installs them. */
export async function installGatewayApi(cluster: Cluster): Promise<void> {
  const { stdout } = await exec([`${root}test/cluster/cluster.sh`, 'path', 'gateway-api'], { timeout: 300_000 });
  for (const kind of ['gatewayclasses', 'gateways', 'listenersets', 'httproutes', 'grpcroutes', 'referencegrants']) {
    const file = `${stdout.trim()}/gateway.networking.k8s.io_${kind}.yaml`;
    await cluster.kubectl(['apply', '--server-side', '--filename', file]);
  }
}
