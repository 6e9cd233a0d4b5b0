import { z } from 'zod';
import { parseCidr } from '../../../model/address.ts';
import { closed, documentOf, maybe, optionalObject, text, workloadSelector } from './common.ts';
import { targetReferenceFields } from './target-references.ts';

const actions = ['ALLOW', 'DENY', 'AUDIT', 'CUSTOM'] as const;
const notEmpty = 'must have at least one entry; leave the field out for "any"';

/** An empty list is refused: one reader would take it for "any", another for "none". */
function values<Schema extends z.ZodType>(item: Schema) {
  return maybe(z.array(item).min(1, { error: notEmpty }));
}

/** `*` alone: any; `*x`: ends so; `x*`: begins so. Anywhere else it would be compared literally and match nothing. */
const pattern = text.refine((value) => value !== '' && !/^.+\*.+$/.test(value) && !/^\*.*\*$/.test(value), {
  error: 'must be a text that is not empty, with `*` only as its first or its last character',
});

const principal = pattern.refine((value) => !value.includes('spiffe://'), {
  error: 'must be written without spiffe://, such as cluster.local/ns/default/sa/web',
});

const ipBlock = text.refine((value) => parseCidr(value) !== null, {
  error: 'must be an address or a CIDR block, such as 10.0.0.0/8',
});

const port = text.refine((value) => /^[1-9]\d{0,4}$/.test(value) && Number(value) <= 65535, {
  error: 'must be a port number in quotes, "1" to "65535"',
});

const serviceAccount = text.refine((value) => /^[a-z0-9][-a-z0-9.]*(\/[a-z0-9][-a-z0-9.]*)?$/.test(value), {
  error: 'must be `namespace/serviceaccount` or `serviceaccount`, without `*`',
});

const source = closed({
  principals: values(principal),
  notPrincipals: values(principal),
  requestPrincipals: values(pattern),
  notRequestPrincipals: values(pattern),
  namespaces: values(pattern),
  notNamespaces: values(pattern),
  serviceAccounts: values(serviceAccount),
  notServiceAccounts: values(serviceAccount),
  ipBlocks: values(ipBlock),
  notIpBlocks: values(ipBlock),
  remoteIpBlocks: values(ipBlock),
  notRemoteIpBlocks: values(ipBlock),
})
  .refine(saysSomething, { error: 'must name at least one field; leave `from` out for any source' })
  .refine((value) => !namesAccountsTwice(value), {
    error: 'serviceAccounts cannot stand beside principals or namespaces, which they imply',
  });

const operation = closed({
  hosts: values(pattern),
  notHosts: values(pattern),
  ports: values(port),
  notPorts: values(port),
  methods: values(pattern),
  notMethods: values(pattern),
  paths: values(text.min(1)),
  notPaths: values(text.min(1)),
}).refine(saysSomething, { error: 'must name at least one field; leave `to` out for any operation' });

const addressKeys: readonly string[] = ['source.ip', 'remote.ip', 'destination.ip'];
const plainKeys: readonly string[] = ['source.namespace', 'source.serviceAccount', 'connection.sni'];
const conditionKey = text.refine(
  (key) =>
    addressKeys.includes(key) ||
    plainKeys.includes(key) ||
    ['source.principal', 'destination.port', 'request.auth.principal'].includes(key) ||
    /^(request\.auth\.|request\.headers\[.+\]$|experimental\.)/.test(key),
  {
    error:
      'must be one of source.ip, source.namespace, source.principal, source.serviceAccount, destination.ip, ' +
      'destination.port, remote.ip, connection.sni, request.headers[…], request.auth.…',
  },
);

const condition = closed({ key: conditionKey, values: values(text.min(1)), notValues: values(text.min(1)) })
  .refine((value) => value.values !== null || value.notValues !== null, { error: 'needs values or notValues' })
  .superRefine((value, context) => {
    const schema = valueSchema(value.key);
    for (const field of ['values', 'notValues'] as const) {
      for (const [index, entry] of (value[field] ?? []).entries()) {
        for (const issue of schema.safeParse(entry).error?.issues ?? []) {
          context.addIssue({ code: 'custom', message: issue.message, path: [field, index] });
        }
      }
    }
  });

const rule = closed({
  from: values(closed({ source })),
  to: values(closed({ operation })),
  when: values(condition),
});

const spec = closed({
  selector: maybe(workloadSelector),
  ...targetReferenceFields,
  action: z
    .enum(actions, { error: `must be one of ${actions.join(', ')}` })
    .nullish()
    .transform((value): PolicyAction => value ?? 'ALLOW'),
  rules: maybe(z.array(rule.nullish().transform((value) => value ?? { from: null, to: null, when: null }))),
  provider: maybe(closed({ name: text })),
}).refine((value) => value.selector === null || (value.targetRef === null && value.targetRefs === null), {
  error: 'cannot stand beside targetRef or targetRefs',
  path: ['selector'],
});

export const authorizationPolicySchema = documentOf(optionalObject(spec));

export type PolicyAction = (typeof actions)[number];
export type AuthorizationPolicyDocument = z.output<typeof authorizationPolicySchema>;
export type RuleDocument = z.output<typeof rule>;
export type SourceDocument = z.output<typeof source>;
export type OperationDocument = z.output<typeof operation>;
export type ConditionDocument = z.output<typeof condition>;

function valueSchema(key: string): z.ZodType {
  if (addressKeys.includes(key)) return ipBlock;
  if (key === 'destination.port') return port;
  if (key === 'source.principal') return principal;
  return key === 'source.serviceAccount' ? serviceAccount : pattern;
}

function saysSomething(value: Readonly<Record<string, unknown>>): boolean {
  return Object.values(value).some((field) => field !== null);
}

function namesAccountsTwice(value: Readonly<Record<string, unknown>>): boolean {
  const set = (...fields: string[]) => fields.some((field) => value[field] !== null);
  return (
    set('serviceAccounts', 'notServiceAccounts') && set('principals', 'notPrincipals', 'namespaces', 'notNamespaces')
  );
}
