import type { Condition } from '../../../model/workload.ts';
import type { GatewayServer } from '../server.ts';

/** What is made of one document that asks for servers. */
export interface ServersOf {
  /** In the document's order. What was to end TLS and cannot be served is among them, without a certificate; else only what can be. */
  readonly servers: readonly GatewayServer[];
  /** One for each listener of the document, whatever has become of it; of an Ingress none. */
  readonly listeners: readonly ListenerFindings[];
  /** Of the document as a whole, and of fields that are not honoured. */
  readonly conditions: readonly Condition[];
}

export interface ListenerFindings {
  /** As of its server. */
  readonly section: string;
  /** Kinds of routes of the Gateway API that it takes, as its status says. */
  readonly supportedKinds: readonly string[];
  /** What is wrong with it; none: all is well as far as its document tells. */
  readonly problems: readonly ListenerProblem[];
}

/** Why a condition of a listener is not what it should be: `Conflicted` true, all others false. */
export interface ListenerProblem {
  readonly type: 'Accepted' | 'Conflicted' | 'ResolvedRefs' | 'Programmed';
  readonly reason: ListenerReason;
  readonly message: string;
}

/** The Gateway API's own words, but for `TooManyPorts` and `CertificateExpired`. */
export type ListenerReason =
  | 'UnsupportedProtocol'
  | 'UnsupportedValue'
  | 'PortUnavailable'
  | 'TooManyPorts'
  | 'ProtocolConflict'
  | 'HostnameConflict'
  | 'CertificateExpired'
  | 'InvalidCertificateRef'
  | 'InvalidCACertificateRef'
  | 'InvalidCACertificateKind'
  | 'NoValidCACertificate'
  | 'RefNotPermitted'
  | 'InvalidRouteKinds'
  | 'Invalid';

/** What the status of a Gateway or a ListenerSet says of its listeners together. */
export interface ListenersVerdict {
  /** false: not one of them can serve, so neither can the document. */
  readonly accepted: boolean;
  /** null: all of them are well. */
  readonly reason: 'ListenersNotValid' | null;
  readonly message: string;
}

/** Types of conditions that keep a listener from being served. */
const closing: readonly ListenerProblem['type'][] = ['Accepted', 'Conflicted', 'Programmed'];

/** @param listeners with the conflicts that `settlePorts` found, and what is wrong with their Secrets */
export function listenersVerdict(listeners: readonly ListenerFindings[]): ListenersVerdict {
  const bad = listeners.filter(({ problems }) => problems.length > 0).map(({ section }) => section);
  const served = listeners.filter(({ problems }) => !problems.some(({ type }) => closing.includes(type)));
  if (bad.length === 0) return { accepted: true, reason: null, message: 'all listeners are in force' };
  const names = served.map(({ section }) => section).join(', ');
  const message = `not all is well with ${bad.join(', ')}; accepted ${served.length === 0 ? 'is none' : `are ${names}`}`;
  return { accepted: served.length > 0, reason: 'ListenersNotValid', message };
}
