import type { Api } from '../cluster/live-objects.ts';
import type { Site } from '../objects/common.ts';
import { guarded, nodeFindings, serverFindings } from './cluster.ts';
import type { Finding } from './finding.ts';
import { neighbourFindings } from './neighbours.ts';
import { rightsFindings } from './rights.ts';

/** Everything that can be seen of a cluster before an installation. Changes nothing. @throws KubeError: no API server answers */
export async function precheckCluster(api: Api, site: Site): Promise<readonly Finding[]> {
  const server = await serverFindings(api);
  const rights = await guarded('your rights', rightsFindings(api, site));
  const nodes = await guarded('the nodes', nodeFindings(api));
  const neighbours = await guarded('what else runs', neighbourFindings(api));
  return [...server, ...rights, ...nodes, ...neighbours];
}
