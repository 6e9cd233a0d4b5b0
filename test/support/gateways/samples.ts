import { readFile } from 'node:fs/promises';
import { parseAllDocuments } from 'yaml';

import { appLabel, service } from '../manifests.ts';
import type { Manifest } from '../manifests.ts';
import { root } from '../paths.ts';
import { shop } from '../waypoints/documents.ts';
import { serverPorts } from '../waypoints/ports.ts';
import { tlsServerPort } from './ports.ts';

/** Gateways as Istio's documentation has its readers write them; the files say which. */
export type Sample = 'httpbin-ingress' | 'secure-hosts' | 'mutual' | 'passthrough';

export async function sample(name: Sample): Promise<readonly Manifest[]> {
  const text = await readFile(`${root}test/support/gateways/samples/${name}.yaml`, 'utf8');
  return parseAllDocuments(text).map((document) => document.toJS() as Manifest);
}

/** What the samples lead to: the shop's first and second version, and a pod that ends TLS itself. */
export const sampleServices: readonly Manifest[] = [
  sampleService('httpbin', '10.96.77.20', { 8000: serverPorts.web }, { [appLabel]: 'web', version: 'v1' }),
  sampleService('helloworld', '10.96.77.21', { 5000: serverPorts.web }, { [appLabel]: 'web', version: 'v2' }),
  sampleService('nginx', '10.96.77.22', { 443: tlsServerPort }, { [appLabel]: 'nginx' }),
];

function sampleService(
  name: string,
  vip: string,
  targets: Readonly<Record<number, number>>,
  selector: Readonly<Record<string, string>>,
): Manifest {
  const ports = Object.entries(targets).map(([port, targetPort]) => ({
    name: port === '443' ? 'https' : 'http',
    port: Number(port),
    targetPort,
  }));
  return service({ name, namespace: shop, vips: [vip], ports: {}, selector, spec: { ports } });
}
