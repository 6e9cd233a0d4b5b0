import type { TransportSocketSchema } from '../../proto/gen/envoy-api/envoy/config/core/v3/base_pb.ts';
import { QuicDownstreamTransportSchema } from '../../proto/gen/envoy-api/envoy/extensions/transport_sockets/quic/v3/quic_transport_pb.ts';
import {
  SubjectAltNameMatcher_SanType as SanType,
  TlsParameters_TlsProtocol as TlsProtocol,
} from '../../proto/gen/envoy-api/envoy/extensions/transport_sockets/tls/v3/common_pb.ts';
import type { CertificateValidationContextSchema } from '../../proto/gen/envoy-api/envoy/extensions/transport_sockets/tls/v3/common_pb.ts';
import { DownstreamTlsContextSchema } from '../../proto/gen/envoy-api/envoy/extensions/transport_sockets/tls/v3/tls_pb.ts';
import type { CommonTlsContextSchema } from '../../proto/gen/envoy-api/envoy/extensions/transport_sockets/tls/v3/tls_pb.ts';
import { aggregated, typed } from '../values.ts';
import type { Init } from '../values.ts';
import { secretTime } from './limits.ts';
import type { ClientCertificates, ServerTls, TlsVersion } from './model.ts';

/** TLS that a gateway ends. Certificates and roots are names of secrets, which come by themselves and may change without it. */

type TransportSocket = Init<typeof TransportSocketSchema>;
type TlsContext = Init<typeof DownstreamTlsContextSchema>;

const requests = ['h2', 'http/1.1'];

/** @param carried bytes may be of any protocol: the gateway agrees to none for them */
export function tlsSocket(tls: ServerTls, carried: 'requests' | 'bytes'): TransportSocket {
  const protocols = carried === 'requests' ? requests : [];
  return typed('envoy.transport_sockets.tls', DownstreamTlsContextSchema, contextOf(tls, protocols));
}

/** Of HTTP/3, which has TLS 1.3 alone. */
export function quicSocket(tls: ServerTls): TransportSocket {
  return typed('envoy.transport_sockets.quic', QuicDownstreamTransportSchema, {
    downstreamTlsContext: contextOf({ ...tls, minimumVersion: '1.3' }, ['h3']),
    // Requests in the first flight can be sent again by whoever has recorded them.
    enableEarlyData: false,
  });
}

/** Envoy asks no client for a certificate over QUIC. */
export function speaksQuic({ clients, maximumVersion }: ServerTls): boolean {
  return clients === null && (maximumVersion === null || maximumVersion === '1.3');
}

function contextOf(tls: ServerTls, alpnProtocols: readonly string[]): TlsContext {
  return {
    commonTlsContext: {
      tlsParams: parametersOf(tls),
      tlsCertificateSdsSecretConfigs: tls.certificates.map(secretConfig),
      alpnProtocols: [...alpnProtocols],
      ...(tls.clients === null ? {} : validationOf(tls.clients)),
    },
    ...(tls.clients === null ? {} : askedEachTime(tls.clients)),
  };
}

const protocols: Readonly<Record<TlsVersion, TlsProtocol>> = {
  '1.0': TlsProtocol.TLSv1_0,
  '1.1': TlsProtocol.TLSv1_1,
  '1.2': TlsProtocol.TLSv1_2,
  '1.3': TlsProtocol.TLSv1_3,
};

/** What is older than 1.2 only where somebody asks for it (RFC 8996). Curves and suites are Envoy's own, which all have forward secrecy. */
function parametersOf({ minimumVersion, maximumVersion, cipherSuites }: ServerTls) {
  return {
    tlsMinimumProtocolVersion: protocols[minimumVersion ?? '1.2'],
    tlsMaximumProtocolVersion: protocols[maximumVersion ?? '1.3'],
    cipherSuites: [...cipherSuites],
  };
}

/**
 * Whether a client's certificate is still good is looked at when it is shown: a session that is taken up again would count until the
 * end of its ticket.
 */
function askedEachTime({ required }: ClientCertificates): TlsContext {
  return {
    requireClientCertificate: required,
    sessionTicketKeysType: { case: 'disableStatelessSessionResumption', value: true },
    disableStatefulSessionResumption: true,
  };
}

function validationOf(clients: ClientCertificates): Pick<Init<typeof CommonTlsContextSchema>, 'validationContextType'> {
  const value = {
    defaultValidationContext: expectations(clients),
    validationContextSdsSecretConfig: secretConfig(clients.roots),
  };
  return { validationContextType: { case: 'combinedValidationContext', value } };
}

const nameTypes = [SanType.DNS, SanType.URI, SanType.EMAIL, SanType.IP_ADDRESS];

/** Besides being signed by the roots. A name may be of any kind, as in Istio. */
function expectations(clients: ClientCertificates): Init<typeof CertificateValidationContextSchema> {
  return {
    matchTypedSubjectAltNames: clients.subjectAltNames.flatMap((exact) =>
      nameTypes.map((sanType) => ({ sanType, matcher: { matchPattern: { case: 'exact' as const, value: exact } } })),
    ),
    verifyCertificateSpki: [...clients.publicKeyHashes],
    verifyCertificateHash: [...clients.certificateHashes],
  };
}

/** A secret that does not come closes its own server; others of the port need not wait longer for it than it takes to come. */
function secretConfig(name: string) {
  return { name, sdsConfig: aggregated(secretTime) };
}
