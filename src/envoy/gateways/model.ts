import type { HttpRule } from '../http-rules.ts';
import type { ConnectionRule, Destination, HttpSettings, WorkloadLabels } from '../model.ts';
import type { Security } from '../security/model.ts';
import type { Locality } from '../../model/workload.ts';

/** All that the Envoys of one gateway are told. Pure data, as `../model.ts` is for waypoints. */
export interface GatewayInput {
  /** Each number once. */
  readonly ports: readonly GatewayPort[];
  /** Everything that rules may send to. */
  readonly destinations: readonly Destination[];
  readonly locality: Locality;
  /** Addresses that no endpoint may have besides loopback and link-local ones. */
  readonly forbiddenAddresses: ReadonlySet<string>;
  readonly http: HttpSettings;
  /** Of the gateway's own pods, for metrics and logs: as far as the mesh knows it is they who send. null: unknown. */
  readonly labels: WorkloadLabels | null;
}

/** A port of the gateway's pods that clients connect to. */
export interface GatewayPort {
  /** That Envoy listens on, on every address of the pod. */
  readonly number: number;
  /** A pod of the gateway has an address of IPv6. Where none has, their machines may not know that family at all. */
  readonly hasIpv6: boolean;
  /** Each connection begins with a header of PROXY protocol, v1 or v2, which says who the client is. */
  readonly proxyProtocol: boolean;
  /**
   * HTTP/3 beside HTTP/2, on the UDP port of the same number; null: none. Only servers of TLS that answer requests have it, and of
   * these none that asks for certificates, for Envoy does not over QUIC. Nor has a port whose connections begin with PROXY protocol.
   */
  readonly http3: Http3 | null;
  readonly serves: PortService;
}

export interface Http3 {
  /** UDP port that clients know, the Service's: they are told of it in `alt-svc`. */
  readonly clientPort: number;
}

export type PortService =
  | { readonly kind: 'http'; readonly site: HttpSite }
  /** By the name that the client says in its first message; none that fits: the connection is closed. */
  | { readonly kind: 'tls'; readonly servers: readonly TlsServer[] }
  | { readonly kind: 'tcp'; readonly site: ConnectionSite };

/** What answers requests: one table of routes. */
export interface HttpSite {
  /** Of its chain and its routes, and no other site's: `http.8080`, `https.8443.LISTENER.GATEWAY.NAMESPACE`. */
  readonly name: string;
  /**
   * Each domain once, and at a server of TLS among those that its own names are for, or nothing is served there. A request whose host
   * is none of them is answered 404; over TLS 421 where another server of the port has the host.
   */
  readonly hosts: readonly VirtualHost[];
  readonly security: Security;
}

export interface VirtualHost {
  /** `example.com`, `*.example.com` (whatever stands before it, dots included) or `*`; each with any port. */
  readonly domains: readonly string[];
  /** In order of precedence, the first that matches counts, none is 404. */
  readonly rules: readonly HttpRule[];
  /** Every request that has not come by https to here or to a trusted proxy is sent to the same place by https (301). */
  readonly redirectToHttps: boolean;
}

/** Whole connections. */
export interface ConnectionSite {
  /** Of its chains and of their statistics, and no other site's. */
  readonly name: string;
  /** In order of precedence; none: every connection is closed. */
  readonly connections: readonly ConnectionRule[];
  readonly security: Security;
}

export type TlsServer = TerminatingServer | PassingServer;

interface NamedServer {
  /** `example.com`, `*.example.com` or `*`: any name, and none. In lower case; of two servers with one name the first has it. */
  readonly serverNames: readonly string[];
}

export interface TerminatingServer extends NamedServer {
  readonly tls: ServerTls;
  readonly serves:
    { readonly kind: 'http'; readonly site: HttpSite } | { readonly kind: 'tcp'; readonly site: ConnectionSite };
}

/** TLS is between client and destination, the gateway only reads the name. */
export interface PassingServer extends NamedServer {
  readonly tls: null;
  readonly serves: { readonly kind: 'tcp'; readonly site: ConnectionSite };
}

/** How the gateway proves itself, and what it asks of clients. */
export interface ServerTls {
  /** Names of secrets with a certificate and its key: at least one, of different kinds of keys where there are several. */
  readonly certificates: readonly string[];
  /** null: clients are not asked for a certificate. */
  readonly clients: ClientCertificates | null;
  readonly minimumVersion: TlsVersion | null;
  readonly maximumVersion: TlsVersion | null;
  /** Names as OpenSSL has them, for TLS up to 1.2; none: Envoy's own choice. */
  readonly cipherSuites: readonly string[];
}

export type TlsVersion = '1.0' | '1.1' | '1.2' | '1.3';

export interface ClientCertificates {
  /** false: a client may have none, but one that it has must be good. */
  readonly required: boolean;
  /** Name of a secret with the roots, and maybe a revocation list. */
  readonly roots: string;
  /** One of which the certificate must have; none: any. */
  readonly subjectAltNames: readonly string[];
  /** SHA-256 of the public key, base64, or of the certificate, hexadecimal: one of which it must be; none: any. */
  readonly publicKeyHashes: readonly string[];
  readonly certificateHashes: readonly string[];
}

/** What is sent by SDS under a name. */
export type GatewaySecret =
  /** PEM. */
  | {
      readonly kind: 'certificate';
      readonly name: string;
      readonly chain: string;
      readonly key: string;
      readonly staple: Uint8Array | null;
    }
  | { readonly kind: 'roots'; readonly name: string; readonly roots: string; readonly revocationList: string | null };
