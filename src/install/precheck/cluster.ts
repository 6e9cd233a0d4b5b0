import { describeError } from '../../config/errors.ts';
import { listPath, readPath } from '../cluster/live-objects.ts';
import type { Api } from '../cluster/live-objects.ts';
import { failed, ok, warn } from './finding.ts';
import type { Finding } from './finding.ts';
import { kernelFindings } from './kernel.ts';

interface NodeParts {
  readonly metadata: { readonly name: string };
  readonly status?: { readonly nodeInfo?: { readonly kernelVersion?: string; readonly operatingSystem?: string } };
}

const OLDEST_MINOR = 29;

/** The API server, and the nodes as it knows them. */
export async function serverFindings(api: Api): Promise<readonly Finding[]> {
  const version = (await readPath(api, '/version')) as { readonly gitVersion?: string; readonly minor?: string } | null;
  const minor = Number.parseInt(version?.minor ?? '', 10);
  const name = `Kubernetes ${version?.gitVersion ?? 'of unknown version'}`;
  if (minor >= OLDEST_MINOR) return [ok(name)];
  return [failed(name, `versions from 1.${OLDEST_MINOR} on are supported`)];
}

/** Nodes with the same kernel are told once. */
export async function nodeFindings(api: Api): Promise<readonly Finding[]> {
  const nodes = (await listPath(api, '/api/v1/nodes')) as readonly NodeParts[];
  const byKernel = new Map<string, string[]>();
  for (const { metadata, status } of nodes) {
    if (status?.nodeInfo?.operatingSystem !== 'linux') continue;
    const { kernelVersion = '' } = status.nodeInfo;
    byKernel.set(kernelVersion, [...(byKernel.get(kernelVersion) ?? []), metadata.name]);
  }
  return [...byKernel].flatMap(([release, names]) => kernelFindings(describeNodes(names), release));
}

function describeNodes(names: readonly string[]): string {
  const [first = '', ...others] = names;
  return others.length === 0 ? `node ${first}` : `node ${first} and ${others.length} like it`;
}

/** One kind of check; what it is not allowed to look at is a warning, not an end. */
export async function guarded(what: string, check: Promise<readonly Finding[]>): Promise<readonly Finding[]> {
  try {
    return await check;
  } catch (error) {
    return [warn(`${what} could not be looked at: ${describeError(error)}`, 'run this with the rights of installing')];
  }
}
