import { z } from 'zod';
import { isTrustDomain } from '../../../model/identity.ts';
import type { MeshSettings } from '../../../model/workload.ts';
import { clusterMetadata, closed, namespaceName, optionalObject, resourceName, text } from './common.ts';

const trustDomain = text.refine(isTrustDomain, {
  error: 'must be a SPIFFE trust domain: lower-case letters, digits, `.`, `-` and `_`',
});

function choice<const Value extends string>(values: readonly [Value, ...Value[]]) {
  return z.enum(values, { error: `must be one of ${values.join(', ')}` });
}

const spec = closed({
  trustDomain: trustDomain.default('cluster.local'),
  trustDomainAliases: z.array(trustDomain).default([]),
  rootNamespace: namespaceName.default('istio-system'),
  clusterDomain: resourceName.default('cluster.local'),
  clusterId: clusterIdentifier().default('Kubernetes'),
  network: text.default(''),
  sameNode: choice(['auto', 'local', 'tls']).default('auto'),
  unenforceable: choice(['deny', 'ignore']).default('deny'),
});

export const meshSettingsSchema = closed({
  apiVersion: text,
  kind: text,
  metadata: optionalObject(clusterMetadata.partial({ name: true })),
  spec: optionalObject(spec),
});

export type MeshSettingsDocument = z.output<typeof meshSettingsSchema>;

/** What holds where no document says otherwise. */
export const defaultMeshSettings: MeshSettings = spec.parse({});

/** A cluster's id is the first part of every uid, so it may hold no slash. */
function clusterIdentifier() {
  return text.refine((value) => /^[A-Za-z0-9]([-A-Za-z0-9._]{0,251}[A-Za-z0-9])?$/.test(value), {
    error: 'must be letters, digits, `-`, `_` and `.`',
  });
}
