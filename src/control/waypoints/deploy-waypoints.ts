import { LiveWaypoints } from './live-waypoints.ts';
import type { LiveWaypointsDependencies } from './live-waypoints.ts';
import { keepGatewayClasses } from './gateway-class.ts';
import { ListenerSetWriter } from './listener-set-writer.ts';
import { GatewayDeployer } from './gateway-deployer.ts';
import type { GatewayDeployerDependencies } from './gateway-deployer.ts';

export type WaypointsDependencies = LiveWaypointsDependencies & Omit<GatewayDeployerDependencies, 'live'>;

/** The waypoints of a cluster, from their class to their pods. For the leader only; resolves after the signal. */
export async function deployWaypoints(dependencies: WaypointsDependencies, signal: AbortSignal): Promise<void> {
  const live = new LiveWaypoints(dependencies);
  await Promise.all([
    live.run(signal),
    keepGatewayClasses({ ...dependencies, classes: live.classes }, signal),
    new GatewayDeployer({ ...dependencies, live }).run(signal),
    new ListenerSetWriter({ ...dependencies, live }).run(signal),
  ]);
}
