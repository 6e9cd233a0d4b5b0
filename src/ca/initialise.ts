import { resolve } from 'node:path';
import { generateAuthority } from './certificates.ts';
import { authorityFileNames, writeAuthorityFiles } from './files.ts';

/**
 * Makes a root and a P-256 intermediate in a new or empty folder, readable by the owner only. Nodes need the folder
 * without its subfolder `root`, which holds the root's key and is best kept offline.
 *
 * @throws AmbitError `CA_EXISTS` where the folder holds anything, `CA_UNREADABLE` where it cannot be written.
 */
export async function initialiseAuthority(directory: string, now: number = Date.now()): Promise<void> {
  const material = await generateAuthority(now);
  const files = new Map<string, string>([
    [authorityFileNames.rootCertificate, material.rootCertificate],
    [authorityFileNames.certificate, material.certificate],
    [authorityFileNames.key, material.key],
    [authorityFileNames.chain, material.certificate + material.rootCertificate],
    [authorityFileNames.rootKey, material.rootKey],
  ]);
  await writeAuthorityFiles(resolve(directory), files);
}
