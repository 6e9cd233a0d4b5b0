import type { LabelSelector } from '../../config/manifests/schemas/common.ts';
import type { ClientCertificates, TlsVersion } from './model.ts';

/**
 * A place that routes are attached to: a listener of a Gateway of the Gateway API or of a ListenerSet, a port of an Istio Gateway's
 * server, or the hosts of an Ingress. What kind of document said it matters only to which routes it takes.
 */
export interface GatewayServer {
  /** Of the document that says it, as conditions name it: `Gateway shop/web`, `ListenerSet shop/more`, `IstioGateway shop/web`, `Ingress shop/web`. */
  readonly resource: string;
  readonly kind: 'Gateway' | 'ListenerSet' | 'XListenerSet' | 'IstioGateway' | 'Ingress';
  readonly namespace: string;
  readonly name: string;
  /** The listener's name, the name of the Istio server's port, of an Ingress its rule's index, or `default` for its default backend. */
  readonly section: string;
  readonly port: number;
  readonly protocol: 'http' | 'https' | 'tls' | 'tcp';
  readonly hosts: readonly ServerHost[];
  /** null: no TLS, by protocol `http` and `tcp`. */
  readonly tls: ServerTlsTerms | 'passthrough' | null;
  readonly allowed: AllowedRoutes;
  readonly redirectToHttps: boolean;
  /** Milliseconds since the epoch; the oldest has what several claim. */
  readonly created: number | null;
}

/** A name that is served, and of which namespaces the routes may be for it. */
export interface ServerHost {
  /** `example.com`, `*.example.com` or `*`, in lower case. */
  readonly name: string;
  /** null: whatever `allowed` says. */
  readonly namespace: string | null;
}

export interface AllowedRoutes {
  readonly namespaces: 'same' | 'all' | 'none' | LabelSelector;
  /** `HTTPRoute`, `GRPCRoute`, `TLSRoute`, `TCPRoute`, `VirtualService`, `Ingress`. */
  readonly kinds: readonly string[];
}

/** As in `ServerTls` of `model.ts`, with references in place of names of secrets. */
export interface ServerTlsTerms {
  /** None: the server is closed. It keeps its hosts, so that no server of a whole domain is a way around what it asks of clients. */
  readonly certificates: readonly SecretReference[];
  readonly clients: (Omit<ClientCertificates, 'roots'> & { readonly roots: SecretReference }) | null;
  readonly minimumVersion: TlsVersion | null;
  readonly maximumVersion: TlsVersion | null;
  readonly cipherSuites: readonly string[];
}

export interface SecretReference {
  /** ConfigMaps hold roots alone. */
  readonly kind: 'Secret' | 'ConfigMap';
  /** null: that of the gateway's pods, as of an Istio Gateway's `credentialName`. */
  readonly namespace: string | null;
  readonly name: string;
  readonly use: 'certificate' | 'roots';
  /** As in Istio: the roots are those of the Secret whose name has this at its end, where there is one, else of the Secret itself. */
  readonly suffix?: '-cacert';
}
