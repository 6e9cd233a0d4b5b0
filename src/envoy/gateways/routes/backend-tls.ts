import type { BackendTlsPolicyDocument } from '../../../config/manifests/schemas/backend-tls-policy.ts';
import { byAge } from '../../../config/manifests/age.ts';
import type { Condition } from '../../../model/workload.ts';
import type { ClientTls, Destination } from '../../model.ts';
import { resourceOf } from '../../routes/notes.ts';

const kind = 'BackendTLSPolicy';

/** A port of a Service, of which policies speak by its name. */
export interface BackendPort {
  readonly namespace: string;
  readonly name: string;
  readonly portName: string | null;
}

export interface RootsLookup {
  /** `ca.crt` of a ConfigMap, PEM; undefined: there is none, or nothing in it that could be used. */
  readonly roots: (namespace: string, configMap: string) => string | undefined;
}

/** How a gateway speaks with a port. */
export interface BackendTls {
  /** `refused`: the policy cannot be honoured, and without it nothing is sent. null: nobody asks for TLS. */
  readonly tls: ClientTls | 'refused' | null;
  /** The policy in force; null: none. */
  readonly origin: string | null;
}

/** Which policies are for a port: those that name it before those for the whole Service, then the oldest. The first is in force. */
export function policiesFor(
  policies: readonly BackendTlsPolicyDocument[],
  { namespace, name, portName }: BackendPort,
): readonly BackendTlsPolicyDocument[] {
  const own = policies.filter(({ metadata }) => metadata.namespace === namespace).toSorted(byAge);
  const naming = (section: string | null) =>
    own.filter(({ spec }) =>
      spec.targetRefs.some((target) => isTarget(target, name) && target.sectionName === section),
    );
  return [...new Set([...(portName === null ? [] : naming(portName)), ...naming(null)])];
}

type Target = BackendTlsPolicyDocument['spec']['targetRefs'][number];

function isTarget({ group, kind: asked, name }: Target, service: string): boolean {
  return (group === '' || group === 'core') && asked === 'Service' && name === service;
}

/** @param policies of the whole mesh or of the port's namespace, in any order */
export function backendTls(
  policies: readonly BackendTlsPolicyDocument[],
  port: BackendPort,
  lookups: RootsLookup,
): BackendTls {
  const [first] = policiesFor(policies, port);
  if (first === undefined) return { tls: null, origin: null };
  return { tls: clientTls(first, lookups).tls ?? 'refused', origin: resourceOf(kind, first) };
}

/** What is said of a policy where another one is in force. @param rivals all that are for one of its targets, itself among them */
export function conflictsOf(
  document: BackendTlsPolicyDocument,
  rivals: readonly BackendTlsPolicyDocument[],
): readonly Condition[] {
  const { namespace } = document.metadata;
  return document.spec.targetRefs.flatMap(({ name, sectionName }) => {
    const [first] = policiesFor(rivals, { namespace, name, portName: sectionName });
    if (first === undefined || first === document) return [];
    const at = `Service ${namespace}/${name}${sectionName === null ? '' : `, port ${sectionName}`}`;
    return [
      told(document, 'Accepted', 'Conflicted', `is not used for ${at}: ${resourceOf(kind, first)} is in force there`),
    ];
  });
}

/** What a policy asks for, and what of it is not there. null: it cannot be honoured. */
export function clientTls(
  document: BackendTlsPolicyDocument,
  lookups: RootsLookup,
): { readonly tls: ClientTls | null; readonly conditions: readonly Condition[] } {
  const { hostname, subjectAltNames } = document.spec.validation;
  const roots = rootsOf(document, lookups);
  const alternative = subjectAltNames.flatMap((name) => (name.type === 'URI' ? name.uri : name.hostname) ?? []);
  const conditions = [...roots.conditions, ...optionConditions(document)];
  if (roots.pem === null || alternative.length < subjectAltNames.length) return { tls: null, conditions };
  const tls = { serverName: hostname, subjectAltNames: alternative, roots: null, certificate: null, insecure: false };
  return { tls: roots.pem === 'system' ? tls : { ...tls, rootsPem: roots.pem }, conditions };
}

interface ReadRoots {
  /** null: there are none that could be used. */
  readonly pem: string | null;
  readonly conditions: readonly Condition[];
}

function rootsOf(document: BackendTlsPolicyDocument, lookups: RootsLookup): ReadRoots {
  const { wellKnownCACertificates: wellKnown, caCertificateRefs: references } = document.spec.validation;
  const { namespace } = document.metadata;
  if (references.length === 0) {
    if (wellKnown === 'System') return { pem: 'system', conditions: [] };
    const message = `spec.validation: it names no roots, and ${wellKnown ?? 'nothing'} is no set of them: nothing is sent there`;
    return { pem: null, conditions: [told(document, 'Accepted', 'NoValidCACertificate', message)] };
  }
  const found = references.map(({ group, kind: asked, name }, index) => {
    const field = `spec.validation.caCertificateRefs[${index}]`;
    if ((group !== '' && group !== 'core') || asked !== 'ConfigMap')
      return { field, reason: 'InvalidKind', problem: `${asked} is nothing that holds roots: it must be a ConfigMap` };
    const pem = lookups.roots(namespace, name);
    if (pem !== undefined) return { pem };
    return {
      field,
      reason: 'InvalidCACertificateRef',
      problem: `there is no ConfigMap ${namespace}/${name} with roots in ca.crt`,
    };
  });
  const valid = found.flatMap(({ pem }) => pem ?? []);
  const missing = found.flatMap(({ field, reason, problem }) =>
    problem === undefined ? [] : [told(document, 'ResolvedRefs', reason, `${field}: ${problem}`)],
  );
  if (valid.length > 0) return { pem: valid.join('\n'), conditions: missing };
  const nothing = told(
    document,
    'Accepted',
    'NoValidCACertificate',
    'none of its roots is there: nothing is sent there',
  );
  return { pem: null, conditions: [...missing, nothing] };
}

function optionConditions(document: BackendTlsPolicyDocument): readonly Condition[] {
  const names = Object.keys(document.spec.options ?? {});
  if (names.length === 0) return [];
  const message = `spec.options: ${names.sort().join(', ')}: they are not supported and have no effect`;
  return [told(document, 'Accepted', 'UnsupportedValue', message)];
}

function told(document: BackendTlsPolicyDocument, type: string, reason: string, message: string): Condition {
  return { resource: resourceOf(kind, document), type, reason, message };
}

/** A destination as gateways use it: what may only be spoken with by a TLS that cannot be had has no endpoint. */
export function withBackendTls(destination: Destination, { tls }: Pick<BackendTls, 'tls'>): Destination {
  if (tls === null) return destination;
  if (tls === 'refused') return { ...destination, endpoints: { kind: 'known', list: [] } };
  return { ...destination, policy: { ...destination.policy, tls } };
}
