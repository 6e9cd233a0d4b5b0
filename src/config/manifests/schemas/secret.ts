import { z } from 'zod';
import { Concealed } from '../concealed.ts';
import { namespacedMetadata, text } from './common.ts';

/** What gateways read of Secrets: a certificate, its key, roots, what is revoked, and a word of the CA that it is not. */
const secretKeys = [
  'tls.crt',
  'tls.key',
  'tls.ocsp-staple',
  'ca.crt',
  'ca.crl',
  'cert',
  'key',
  'cacert',
  'crl',
] as const;

/** Types that hold certificates; of others nothing but that they are there is read. */
export const certificateTypes: readonly string[] = ['kubernetes.io/tls', 'Opaque'];

export type SecretKey = (typeof secretKeys)[number];

/** Without annotations: `kubectl apply` keeps a copy of all that a Secret holds in one. */
const metadata = namespacedMetadata.pick({ name: true, namespace: true });

const values = z
  .record(z.string(), text)
  .nullish()
  .transform((value): Readonly<Record<string, string>> => value ?? {});

const writtenSecret = z.object({
  metadata,
  type: text.nullish().transform((value): string => value ?? 'Opaque'),
  data: values,
  stringData: values,
});

export interface SecretDocument {
  readonly metadata: { readonly name: string; readonly namespace: string };
  readonly type: string;
  /** What is there of the keys that are read, and nothing of others. */
  readonly data: Readonly<Partial<Record<SecretKey, Concealed>>>;
}

/** No message says what a value is. */
export const secretSchema = writtenSecret.transform((written, context): SecretDocument => {
  const { type } = written;
  const found: [SecretKey, Concealed][] = [];
  for (const key of certificateTypes.includes(type) ? secretKeys : []) {
    const plain = written.stringData[key];
    const encoded = written.data[key];
    if (plain !== undefined) found.push([key, new Concealed(Buffer.from(plain))]);
    else if (encoded !== undefined) {
      const bytes = decoded(encoded);
      if (bytes !== null) found.push([key, new Concealed(bytes)]);
      else context.issues.push({ code: 'custom', input: null, path: ['data', key], message: 'must be base64' });
    }
  }
  return { metadata: written.metadata, type, data: Object.fromEntries(found) };
});

/** Public keys of those who sign are no secret; whatever else a ConfigMap holds is not read. */
const rootKeys = ['ca.crt', 'ca.crl'] as const;

export interface ConfigMapDocument {
  readonly metadata: { readonly name: string; readonly namespace: string };
  readonly data: Readonly<Partial<Record<(typeof rootKeys)[number], string>>>;
}

export const configMapSchema = z
  .object({ metadata, data: values })
  .transform(({ metadata: { name, namespace }, data }): ConfigMapDocument => ({
    metadata: { name, namespace },
    data: Object.fromEntries(rootKeys.flatMap((key) => (data[key] === undefined ? [] : [[key, data[key]]]))),
  }));

/** To see whether a Secret has changed, and for nothing else. */
export function concealedSecret(raw: unknown): Concealed {
  return new Concealed(Buffer.from(JSON.stringify(raw)));
}

/** Of a ConfigMap, which may be large and hold anything, what is read. */
export function prunedConfigMap(raw: unknown): unknown {
  const reading = configMapSchema.safeParse(raw);
  return reading.success ? { apiVersion: 'v1', kind: 'ConfigMap', ...reading.data } : null;
}

/** null: it is none. */
function decoded(value: string): Buffer | null {
  const compact = value.replace(/\s/g, '');
  const isBase64 = compact.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(compact);
  return isBase64 ? Buffer.from(compact, 'base64') : null;
}
