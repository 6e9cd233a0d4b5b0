import { authorityFrom } from '../../ca/authority.ts';
import type { Authority, LoadOptions } from '../../ca/authority.ts';
import { generateAuthority } from '../../ca/certificates.ts';
import type { AuthorityFiles } from '../../ca/files.ts';
import { authorityFileNames } from '../../ca/files.ts';
import { AmbitError } from '../../config/errors.ts';
import type { KubeClient } from '../../kube/kube-client.ts';
import { isConflict, isNotFound } from '../../kube/kube-error.ts';
import type { Logger } from '../../telemetry/logger.ts';

export interface AuthoritySecretDependencies {
  readonly client: Pick<KubeClient, 'send'>;
  /** Where the control plane runs. */
  readonly namespace: string;
  readonly logger: Logger;
  readonly now: () => number;
}

/** The operator's own CA, as Istio has it. */
export const operatorSecret = 'cacerts';
/** What istiod makes for itself, so that whoever comes from there keeps the root that everybody trusts. */
export const ownSecret = 'istio-ca-secret';
/** The root's key, which is only needed to make another intermediate: written once, and we may not read it. */
export const rootKeySecret = 'ambit-ca-root-key';

interface Secret {
  readonly data?: Readonly<Record<string, string>> | null;
}

/**
 * The CA of a cluster: that of the Secret `cacerts`, else of `istio-ca-secret`, which the first control plane makes. Several that
 * start at once agree on one, because the API server takes a name only once.
 *
 * @throws AmbitError `CA_INVALID`, `CA_EXPIRED`; KubeError
 */
export async function openClusterAuthority(dependencies: AuthoritySecretDependencies): Promise<Authority> {
  const options = { now: dependencies.now };
  const found = (await read(dependencies, operatorSecret, options)) ?? (await read(dependencies, ownSecret, options));
  if (found !== null) return found;
  await make(dependencies);
  const made = await read(dependencies, ownSecret, options);
  if (made !== null) return made;
  throw new AmbitError('CA_INVALID', `the Secret ${ownSecret} was made and is not there: is something deleting it?`);
}

async function read(
  { client, namespace }: AuthoritySecretDependencies,
  name: string,
  options: LoadOptions,
): Promise<Authority | null> {
  const secret = await get(client, namespace, name);
  if (secret === null) return null;
  try {
    return await authorityFrom(filesOf(secret), options);
  } catch (error) {
    throw error instanceof AmbitError
      ? new AmbitError(error.code, `the Secret ${namespace}/${name} cannot be used as a CA`, { cause: error })
      : error;
  }
}

async function get(client: Pick<KubeClient, 'send'>, namespace: string, name: string): Promise<Secret | null> {
  try {
    return (await client.send({ method: 'GET', path: `${pathOf(namespace)}/${name}` })) as Secret;
  } catch (error) {
    if (isNotFound(error)) return null;
    throw error;
  }
}

/** In the names of Istio's files, or those of a TLS Secret that cert-manager or the like has made. */
function filesOf({ data }: Secret): AuthorityFiles {
  const text = (...names: readonly string[]): string => {
    const encoded = names.map((name) => data?.[name] ?? '').find((value) => value !== '');
    return encoded === undefined ? '' : Buffer.from(encoded, 'base64').toString('utf8');
  };
  const { certificate, key, chain, rootCertificate } = authorityFileNames;
  const own = text(certificate, 'tls.crt');
  return {
    certificate: own,
    key: text(key, 'tls.key'),
    chain: text(chain, 'tls.crt'),
    // istiod's own root signs for itself, and older ones did not write it twice.
    rootCertificate: text(rootCertificate, 'ca.crt') || own,
  };
}

async function make({ client, namespace, logger, now }: AuthoritySecretDependencies): Promise<void> {
  const material = await generateAuthority(now());
  const files = {
    [authorityFileNames.rootCertificate]: material.rootCertificate,
    [authorityFileNames.certificate]: material.certificate,
    [authorityFileNames.key]: material.key,
    [authorityFileNames.chain]: material.certificate + material.rootCertificate,
  };
  if (!(await create(client, namespace, ownSecret, files))) return;
  logger.info(
    { object: `${namespace}/${ownSecret}` },
    'made a CA: back it up, without it every agent must be restarted',
  );
  // After the CA itself, so that of several makers only the one whose CA counts writes its key.
  const root = { 'root-key.pem': material.rootKey, [authorityFileNames.rootCertificate]: material.rootCertificate };
  if (!(await create(client, namespace, rootKeySecret, root))) {
    logger.warn(
      { object: `${namespace}/${rootKeySecret}` },
      'a root key of a former CA is there and was left: the key of the new root is lost',
    );
  }
}

/** False where there is one of that name. */
async function create(
  client: Pick<KubeClient, 'send'>,
  namespace: string,
  name: string,
  files: Readonly<Record<string, string>>,
): Promise<boolean> {
  const body = { apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace }, type: 'Opaque', stringData: files };
  try {
    await client.send({ method: 'POST', path: pathOf(namespace), body });
    return true;
  } catch (error) {
    if (isConflict(error)) return false;
    throw error;
  }
}

function pathOf(namespace: string): string {
  return `/api/v1/namespaces/${namespace}/secrets`;
}
