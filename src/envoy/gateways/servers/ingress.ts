import type {
  IngressClassDocument,
  IngressDocument,
  IngressRuleDocument,
} from '../../../config/manifests/schemas/ingress.ts';
import { Notes } from '../../routes/notes.ts';
import type { GatewayServer, ServerTlsTerms } from '../server.ts';
import type { ServersOf } from './findings.ts';
import { ownerOf } from './owner.ts';

/** The class whose Ingresses are ours, also where nobody has made it. */
export const ingressClass = 'istio';
export const ingressController = 'istio.io/ingress-controller';
const classAnnotation = 'kubernetes.io/ingress.class';

const plainPort = 80;
const securePort = 443;
/** Section of what no rule of an Ingress is for. */
export const defaultSection = 'default';

const hostPattern = /^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

/** @param named the IngressClass that the Ingress names, if there is such a document */
export function isOurIngress({ metadata, spec }: IngressDocument, named: IngressClassDocument | null): boolean {
  const written = metadata.annotations[classAnnotation];
  if (written !== undefined) return written === ingressClass;
  if (spec.ingressClassName === null) return false;
  return named === null ? spec.ingressClassName === ingressClass : named.spec.controller === ingressController;
}

/**
 * Servers of an Ingress: each host on port 80, and on port 443 where a Secret is there for it. Secrets are those of the Ingress's
 * own namespace, as Kubernetes has it (Istio looks into the namespace of the gateway's pods): so nobody needs to put keys elsewhere.
 */
export function ingressServers(document: IngressDocument): ServersOf {
  const notes = new Notes('Ingress', document);
  const { rules, defaultBackend } = document.spec;
  const secured = securedHosts(document, notes);
  const servers = rules.flatMap((rule, index) => {
    const host = hostOf(rule, index, notes);
    return host === null ? [] : serversOf(document, String(index), host, secured);
  });
  const rest = defaultBackend === null ? [] : serversOf(document, defaultSection, '*', secured);
  return { servers: [...servers, ...rest], listeners: [], conditions: notes.conditions };
}

function hostOf({ host }: IngressRuleDocument, index: number, notes: Notes): string | null {
  if (host === null || host === '') return '*';
  if (hostPattern.test(host)) return host;
  notes.add('Accepted', 'UnsupportedValue', `spec.rules[${index}].host: ${host} is no host: this rule is left out`);
  return null;
}

interface SecuredHost {
  readonly host: string;
  readonly terms: ServerTlsTerms;
}

/** The first entry that names a host has it. */
function securedHosts({ metadata, spec }: IngressDocument, notes: Notes): readonly SecuredHost[] {
  const found = new Map<string, SecuredHost>();
  for (const [index, { hosts, secretName }] of spec.tls.entries()) {
    if (secretName === null || secretName === '') {
      const message = `spec.tls[${index}].secretName: is needed: these hosts are not served over TLS`;
      notes.add('Accepted', 'InvalidCertificateRef', message);
      continue;
    }
    const terms = termsOf(metadata.namespace, secretName);
    for (const host of hosts.length === 0 ? ['*'] : hosts) {
      if (found.has(host)) notes.add('Accepted', 'HostnameConflict', `spec.tls[${index}]: ${host} is secured already`);
      else found.set(host, { host, terms });
    }
  }
  return [...found.values()];
}

function termsOf(namespace: string, name: string): ServerTlsTerms {
  return {
    certificates: [{ kind: 'Secret', namespace, name, use: 'certificate' }],
    clients: null,
    minimumVersion: null,
    maximumVersion: null,
    cipherSuites: [],
  };
}

function serversOf(
  document: IngressDocument,
  section: string,
  host: string,
  secured: readonly SecuredHost[],
): readonly GatewayServer[] {
  const server = (port: number, name: string, tls: ServerTlsTerms | null): GatewayServer => ({
    ...ownerOf('Ingress', document),
    section,
    port,
    protocol: tls === null ? 'http' : 'https',
    hosts: [{ name, namespace: null }],
    tls,
    allowed: { namespaces: 'same', kinds: ['Ingress'] },
    redirectToHttps: false,
  });
  return [server(plainPort, host, null), ...closest(host, secured).map(([name, tls]) => server(securePort, name, tls))];
}

/** Where both a host and a domain that it is of are secured, the Secret of the host is shown for it. */
function closest(host: string, secured: readonly SecuredHost[]): readonly (readonly [string, ServerTlsTerms])[] {
  const names = new Map<string, SecuredHost>();
  for (const entry of secured) {
    const name = common(host, entry.host);
    const known = name === null ? undefined : names.get(name);
    if (name !== null && (known === undefined || isCloser(entry.host, known.host, name))) names.set(name, entry);
  }
  return [...names].map(([name, { terms }]) => [name, terms]);
}

/** Both are for the name. */
function isCloser(host: string, other: string, name: string): boolean {
  return host === name || (other !== name && host.length > other.length);
}

/** The hosts that both are for; null: none. */
function common(left: string, right: string): string | null {
  if (covers(left, right)) return right;
  return covers(right, left) ? left : null;
}

function covers(wide: string, narrow: string): boolean {
  return wide === '*' || wide === narrow || (wide.startsWith('*.') && narrow.endsWith(wide.slice(1)));
}
