import { z } from 'zod';
import { canonicalAddress } from '../../../model/address.ts';
import { SharedValues } from '../../../model/shared-values.ts';

/**
 * Two manners of reading. Of Kubernetes' own kinds only what is used is read and kept, for people paste what
 * `kubectl get -o yaml` prints, and a cluster has many pods;
 * kinds that grant or refuse are closed: a mistyped field there must not turn a condition into none.
 */
export function closed<Shape extends z.ZodRawShape>(shape: Shape): z.ZodObject<Shape, z.core.$strict> {
  const allowed = Object.keys(shape).join(', ');
  return z.strictObject(shape, {
    error: (issue) => (issue.code === 'unrecognized_keys' ? `is not a field here; allowed are ${allowed}` : undefined),
  });
}

/** A schema of which only what it gives is of interest: what comes in is a document of which nothing is known. */
type Reading<Output> = z.ZodType<Output>;

/** A field that may be missing or null, as Kubernetes prints empty ones. */
export function maybe<Schema extends z.ZodType>(schema: Schema): Reading<z.output<Schema> | null> {
  return schema.nullish().transform((value): z.output<Schema> | null => value ?? null);
}

export function list<Schema extends z.ZodType>(item: Schema): Reading<z.output<Schema>[]> {
  return z
    .array(item)
    .nullish()
    .transform((value): z.output<Schema>[] => value ?? []);
}

/** An object whose fields are all optional, itself optional. */
export function optionalObject<Schema extends z.ZodType>(schema: Schema): Reading<z.output<Schema>> {
  return schema.nullish().transform((value): z.output<Schema> => value ?? schema.parse({}));
}

const quoted = 'a text (numbers and booleans need quotes here)';

/**
 * What many documents have in common is kept once: of 100,000 pods most are replicas of others. What is read must not be changed
 * anyway. Not for what each document has for itself.
 */
export function shared<Schema extends z.ZodType>(schema: Schema): Reading<z.output<Schema>> {
  const values = new SharedValues<z.output<Schema>>();
  return schema.transform((value): z.output<Schema> => values.share(JSON.stringify(value), value));
}

export const text = z.string({ error: (issue) => (issue.input === undefined ? undefined : `must be ${quoted}`) });

/** What a protocol of lines can carry. */
export const lineText = text.refine((value) => !/[\0-\x08\x0a-\x1f\x7f]/.test(value), {
  error: 'must be a text in one line, without control characters',
});

export const stringMap = z
  .record(z.string(), text)
  .nullish()
  .transform((value): Readonly<Record<string, string>> => value ?? {});

/** RFC 1123 subdomain. */
export const resourceName = text.refine((value) => /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/.test(value), {
  error: 'must be a name of lower-case letters, digits, `-` and `.`, at most 253',
});

/** RFC 1123 label. */
export const namespaceName = text.refine((value) => /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(value), {
  error: 'must be a namespace name: lower-case letters, digits and `-`, at most 63',
});

export const portNumber = z.number({ error: 'must be a port number, 1 to 65535' }).refine(isPort, {
  error: 'must be a port number, 1 to 65535',
});

/** A number, or the name of a container's port. */
export const portOrName = z
  .union([z.number(), z.string()], { error: 'must be a port number or the name of a port' })
  .refine((value) => typeof value === 'string' || isPort(value), { error: 'must be a port number, 1 to 65535' });

/** Read into canonical text. */
export const address = text.transform((value, context): string => {
  const canonical = canonicalAddress(value);
  if (canonical !== null) return canonical;
  context.issues.push({ code: 'custom', input: value, message: 'must be an IPv4 or IPv6 address' });
  return z.NEVER;
});

const ownerReference = z.object({ kind: text, name: text, controller: maybe(z.boolean()) });

/** It names files and pins on the node, so it may hold nothing that a path understands. */
const uid = text.refine((value) => /^[A-Za-z0-9-]{1,64}$/.test(value), {
  error: 'must be letters, digits and `-`, at most 64, such as a UUID',
});

const commonMetadata = {
  uid: maybe(uid),
  labels: shared(stringMap),
  annotations: shared(stringMap),
  ownerReferences: shared(list(ownerReference)),
  creationTimestamp: maybe(text),
  deletionTimestamp: maybe(text),
};

export const namespacedMetadata = z.object({
  ...commonMetadata,
  name: resourceName,
  namespace: shared(namespaceName.nullish().transform((value): string => value ?? 'default')),
});

export const clusterMetadata = z.object({ ...commonMetadata, name: resourceName });

type DocumentShape<Spec extends z.ZodType> = Record<'apiVersion' | 'kind', typeof text> &
  Record<'metadata', typeof namespacedMetadata> &
  Record<'spec', Spec> &
  Record<'status', z.ZodOptional<z.ZodUnknown>>;

/** A namespaced resource of which nothing goes unread; its status is somebody else's to write. */
export function documentOf<Spec extends z.ZodType>(spec: Spec): z.ZodObject<DocumentShape<Spec>, z.core.$strict> {
  return closed({ apiVersion: text, kind: text, metadata: namespacedMetadata, spec, status: z.unknown().optional() });
}

/** Istio's selector: equality on labels, nothing else. */
export const workloadSelector = closed({ matchLabels: stringMap });

const operators = ['In', 'NotIn', 'Exists', 'DoesNotExist'] as const;

const expression = z.object({
  key: text,
  operator: z.enum(operators, { error: `must be one of ${operators.join(', ')}` }),
  values: list(text),
});

/** Kubernetes' full selector. */
export const labelSelector = z.object({ matchLabels: stringMap, matchExpressions: list(expression) });

export type LabelSelector = z.output<typeof labelSelector>;

function isPort(value: number): boolean {
  return Number.isInteger(value) && value >= 1 && value <= 65535;
}
