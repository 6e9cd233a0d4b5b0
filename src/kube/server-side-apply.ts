import type { KubeRequest } from './kube-client.ts';

export interface ApplyOptions {
  /** In whose name fields are owned. */
  readonly fieldManager: string;
  /** Takes fields over that others own. */
  readonly force: boolean;
  /** The API server goes through all of it, and stores nothing. */
  readonly dryRun?: boolean;
}

/** The request that makes an object, or the part of it that is given, what is wanted. */
export function serverSideApply(path: string, body: object, options: ApplyOptions): KubeRequest {
  const { fieldManager, force, dryRun = false } = options;
  return {
    method: 'PATCH',
    path,
    query: { fieldManager, force, dryRun: dryRun ? 'All' : null },
    contentType: 'application/apply-patch+yaml',
    body,
  };
}
