import { readFile } from 'node:fs/promises';
import { isIPv6 } from 'node:net';
import { AmbitError } from '../config/errors.ts';

/** How the API server is reached. What may change on disk is a function, asked for each new connection. */
export interface ClusterAccess {
  /** `https://host:port`, of a proxy with a path behind it. */
  readonly server: string;
  readonly certificateAuthority: () => Promise<string | null>;
  readonly clientCertificate: { readonly certificate: string; readonly key: string } | null;
  readonly token: () => Promise<string | null>;
  /** In the server's certificate, where it is not the host's name. */
  readonly serverName?: string;
  /** Takes every server for the right one: only where a kubeconfig says so. */
  readonly insecure?: boolean;
}

const serviceAccountFolder = '/var/run/secrets/kubernetes.io/serviceaccount';

/**
 * From inside a pod, by its service account. The kubelet renews the token and may renew the roots, so both are read again.
 *
 * @throws AmbitError `KUBERNETES_UNKNOWN` outside of a pod
 */
export function inClusterAccess(
  environment: Readonly<Record<string, string | undefined>>,
  folder: string = serviceAccountFolder,
): ClusterAccess {
  const host = environment['KUBERNETES_SERVICE_HOST'] ?? '';
  const port = environment['KUBERNETES_SERVICE_PORT'] ?? '';
  if (host === '' || port === '') {
    throw new AmbitError(
      'KUBERNETES_UNKNOWN',
      'KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set: this is no pod of a cluster. Name a kubeconfig instead.',
    );
  }
  return {
    server: `https://${isIPv6(host) ? `[${host}]` : host}:${port}`,
    certificateAuthority: () => readFile(`${folder}/ca.crt`, 'utf8'),
    clientCertificate: null,
    token: async () => (await readFile(`${folder}/token`, 'utf8')).trim(),
  };
}

/** Through a proxy of this machine that has its own rights, such as `kubectl proxy`. */
export function proxiedAccess(server: string): ClusterAccess {
  const none = (): Promise<null> => Promise.resolve(null);
  return { server, certificateAuthority: none, clientCertificate: null, token: none };
}
