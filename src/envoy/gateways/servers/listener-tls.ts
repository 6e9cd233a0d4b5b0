import type {
  ClientValidationDocument,
  ListenerTlsDocument,
} from '../../../config/manifests/schemas/gateway-listener.ts';
import { experimentalGroup, gatewayGroup } from '../../routes/groups.ts';
import type { GrantedFrom, RouteLookups } from '../../routes/lookups.ts';
import type { Notes } from '../../routes/notes.ts';
import type { SecretReference, ServerTlsTerms } from '../server.ts';
import { chooseCipherSuites } from './cipher-suites.ts';
import type { ListenerProblem, ListenerReason } from './findings.ts';
import { closedTerms } from './owner.ts';

/** What a conversion may ask of the rest of the mesh. */
export type ServerLookups = Pick<RouteLookups, 'granted'>;

/** Certificates of clients, and who asks for them: whose namespace and whose grants count. */
export interface ClientValidation {
  readonly validation: ClientValidationDocument;
  readonly from: GrantedFrom;
  /** Where it stands, for messages. */
  readonly field: string;
  /** A Gateway says it of listeners that somebody else adds: what these say themselves makes it no laxer. */
  readonly isImposed: boolean;
}

export interface TlsContext {
  readonly from: GrantedFrom;
  /** Of the listener's `tls`, for messages. */
  readonly field: string;
  readonly lookups: ServerLookups;
  readonly notes: Notes;
  /** null: the listener has none of its own, and its Gateway says none for it. */
  readonly clients: ClientValidation | null;
}

export interface ListenerTerms {
  readonly terms: ServerTlsTerms;
  readonly problems: readonly ListenerProblem[];
}

const modeOption = 'gateway.istio.io/tls-terminate-mode';
const suitesOption = 'gateway.istio.io/tls-cipher-suites';
/** Where somebody asks for certificates of clients by the option alone, the roots are found as those of an Istio Gateway. */
const mutualModes: readonly string[] = ['MUTUAL', 'OPTIONAL_MUTUAL'];
const knownModes: readonly string[] = ['SIMPLE', ...mutualModes];

/** How a listener that ends TLS does so. */
export function listenerTerms(tls: ListenerTlsDocument, context: TlsContext): ListenerTerms {
  const mode = tls.options[modeOption] ?? null;
  if (mode !== null && !knownModes.includes(mode)) return closedWith([modeProblem(mode, context)]);
  const { certificates, problems } = certificatesOf(tls, context);
  const clients = clientsOf(mode, certificates[0] ?? null, context);
  const all = [...problems, ...clients.problems];
  if (certificates.length === 0 || clients.failed) return closedWith(all);
  const terms: ServerTlsTerms = {
    certificates,
    clients: clients.asked,
    minimumVersion: null,
    maximumVersion: null,
    cipherSuites: suitesOf(tls, context),
  };
  return { terms, problems: all };
}

/** @param problems at least one */
function closedWith(problems: readonly ListenerProblem[]): ListenerTerms {
  const isTold = problems.some(({ type }) => type === 'Accepted');
  const message = `it is closed: ${problems[0]?.message ?? ''}`;
  return { terms: closedTerms, problems: isTold ? problems : [...problems, problem('Programmed', 'Invalid', message)] };
}

function modeProblem(mode: string, { field }: TlsContext): ListenerProblem {
  const why =
    mode === 'ISTIO_MUTUAL'
      ? 'a gateway’s proxy has no certificate of the mesh to show'
      : `one of ${knownModes.join(', ')}`;
  return problem('Accepted', 'UnsupportedValue', `${field}.options: ${modeOption} is ${mode}, which cannot be: ${why}`);
}

function problem(type: ListenerProblem['type'], reason: ListenerReason, message: string): ListenerProblem {
  return { type, reason, message };
}

function certificatesOf(tls: ListenerTlsDocument, context: TlsContext) {
  const problems: ListenerProblem[] = [];
  const field = `${context.field}.certificateRefs`;
  if (tls.certificateRefs.length === 0) {
    problems.push(
      problem('ResolvedRefs', 'InvalidCertificateRef', `${field}: a listener that ends TLS needs a Secret`),
    );
  }
  const certificates = tls.certificateRefs.flatMap((reference, index): SecretReference[] => {
    const found = resolve(reference, ['Secret'], context.from, context.lookups);
    if (typeof found !== 'string') return [{ ...found, use: 'certificate' }];
    const reason = found === 'RefNotPermitted' ? found : 'InvalidCertificateRef';
    problems.push(problem('ResolvedRefs', reason, refusalText(found, reference, `${field}[${index}]`, 'a Secret')));
    return [];
  });
  return { certificates, problems };
}

interface ObjectReference {
  readonly group: string;
  readonly kind: string;
  readonly namespace: string | null;
  readonly name: string;
}

function resolve(
  { group, kind, namespace, name }: ObjectReference,
  kinds: readonly SecretReference['kind'][],
  from: GrantedFrom,
  lookups: ServerLookups,
): Omit<SecretReference, 'use'> | 'InvalidKind' | 'RefNotPermitted' {
  const known = group === '' || group === 'core' ? kinds.find((one) => one === kind) : undefined;
  if (known === undefined) return 'InvalidKind';
  const within = namespace ?? from.namespace;
  if (within !== from.namespace && !lookups.granted(from, { group: '', kind: known, namespace: within, name })) {
    return 'RefNotPermitted';
  }
  return { kind: known, namespace: within, name };
}

function refusalText(
  why: 'InvalidKind' | 'RefNotPermitted',
  { group, kind, namespace, name }: ObjectReference,
  field: string,
  wanted: string,
): string {
  if (why === 'RefNotPermitted')
    return `${field}: no ReferenceGrant in ${namespace ?? ''} lets it name ${kind} ${name}`;
  return `${field}: ${kind}${group === '' ? '' : ` of ${group}`} is none of what is read: it must be ${wanted}`;
}

interface AskedClients {
  readonly asked: ServerTlsTerms['clients'];
  /** Clients were to be asked, and nothing is known to measure them by: nobody may come in. */
  readonly failed: boolean;
  readonly problems: readonly ListenerProblem[];
}

function clientsOf(mode: string | null, certificate: SecretReference | null, context: TlsContext): AskedClients {
  const { clients } = context;
  if (clients !== null) return validatedClients(mode, clients, context);
  if (mode === null || !mutualModes.includes(mode) || certificate === null)
    return { asked: null, failed: false, problems: [] };
  return { asked: asking(rootsBeside(certificate, context), mode === 'MUTUAL'), failed: false, problems: [] };
}

/** The Secret beside that of the certificate, where it may be named, too. */
function rootsBeside(certificate: SecretReference, { from, lookups }: TlsContext): SecretReference {
  const { name, namespace } = certificate;
  const to = { group: '', kind: 'Secret', namespace: namespace ?? from.namespace, name: `${name}-cacert` };
  const mayName = to.namespace === from.namespace || lookups.granted(from, to);
  return { ...certificate, use: 'roots', ...(mayName ? { suffix: '-cacert' } : {}) };
}

function validatedClients(mode: string | null, clients: ClientValidation, context: TlsContext): AskedClients {
  const { validation, field } = clients;
  const { roots, problems } = rootsOf(clients, context);
  const [first, ...more] = roots;
  if (first === undefined) {
    const message = `${field}.caCertificateRefs: none of them can be used, so no client’s certificate could be checked`;
    return { asked: null, failed: true, problems: [...problems, problem('Accepted', 'NoValidCACertificate', message)] };
  }
  if (more.length > 0) context.notes.unsupported(`${field}.caCertificateRefs`, 'only the first one is measured by');
  const lax = validation.mode === 'AllowInsecureFallback';
  if (lax)
    context.notes.unsupported(`${field}.mode`, 'a client may have no certificate, but one that is wrong is refused');
  const required = mode === 'MUTUAL' || (!lax && (clients.isImposed || mode !== 'OPTIONAL_MUTUAL'));
  return { asked: asking(first, required), failed: false, problems };
}

function rootsOf({ validation, from, field }: ClientValidation, { lookups }: TlsContext) {
  const problems: ListenerProblem[] = [];
  const roots = validation.caCertificateRefs.flatMap((reference, index): SecretReference[] => {
    const place = `${field}.caCertificateRefs[${index}]`;
    const found = resolve(reference, ['ConfigMap', 'Secret'], from, lookups);
    if (typeof found !== 'string') return [{ ...found, use: 'roots' }];
    const reason = found === 'RefNotPermitted' ? found : 'InvalidCACertificateKind';
    problems.push(problem('ResolvedRefs', reason, refusalText(found, reference, place, 'a ConfigMap or a Secret')));
    return [];
  });
  return { roots, problems };
}

function asking(roots: SecretReference, required: boolean): ServerTlsTerms['clients'] {
  return { required, roots, subjectAltNames: [], publicKeyHashes: [], certificateHashes: [] };
}

function suitesOf({ options }: ListenerTlsDocument, { field, notes }: TlsContext): readonly string[] {
  const { suites, unknown } = chooseCipherSuites((options[suitesOption] ?? '').split(','));
  if (unknown.length > 0)
    notes.unsupported(
      `${field}.options`,
      `${suitesOption}: ${unknown.join(', ')} is none that gateways speak, and is left out`,
    );
  const others = Object.keys(options).filter((name) => name !== modeOption && name !== suitesOption);
  if (others.length > 0) notes.unsupported(`${field}.options`, `${others.join(', ')} has no effect`);
  return suites;
}

/** Of documents of the Gateway API. */
export function gatewayGrant(kind: string, namespace: string): GrantedFrom {
  return { group: kind === 'XListenerSet' ? experimentalGroup : gatewayGroup, kind, namespace };
}
