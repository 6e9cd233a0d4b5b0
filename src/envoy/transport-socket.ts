import type { TransportSocketSchema } from '../proto/gen/envoy-api/envoy/config/core/v3/base_pb.ts';
import { SubjectAltNameMatcher_SanType as SanType } from '../proto/gen/envoy-api/envoy/extensions/transport_sockets/tls/v3/common_pb.ts';
import type { CommonTlsContextSchema } from '../proto/gen/envoy-api/envoy/extensions/transport_sockets/tls/v3/tls_pb.ts';
import { UpstreamTlsContextSchema } from '../proto/gen/envoy-api/envoy/extensions/transport_sockets/tls/v3/tls_pb.ts';
import type { ClientTls, TrafficPolicy } from './model.ts';
import { given, typed } from './values.ts';
import type { Init } from './values.ts';

/** Where Envoy's image, a Debian, keeps the certificates that everybody trusts. */
const systemRoots = '/etc/ssl/certs/ca-certificates.crt';

/**
 * TLS that the waypoint itself speaks, to what is outside of the mesh. Whom it asks for and expects is the host, unless somebody
 * says otherwise.
 */
export function transportSocket(tls: ClientTls, hostname: string): Init<typeof TransportSocketSchema> {
  const name = tls.serverName ?? (isWildcard(hostname) ? null : hostname);
  return typed('envoy.transport_sockets.tls', UpstreamTlsContextSchema, {
    ...given(name, (sni) => ({ sni })),
    commonTlsContext: {
      ...(tls.insecure ? {} : validation(tls, name)),
      ...given(tls.certificate, ({ chain, key }) => ({
        tlsCertificates: [{ certificateChain: file(chain), privateKey: file(key) }],
      })),
    },
  });
}

/** Of many hosts at once only the request says which one is meant. */
export function isNamedByRequest({ tls }: TrafficPolicy, hostname: string): boolean {
  return tls?.serverName === null && isWildcard(hostname) && !tls.insecure && tls.subjectAltNames.length === 0;
}

function isWildcard(hostname: string): boolean {
  return hostname.startsWith('*');
}

function validation(tls: ClientTls, name: string | null): Init<typeof CommonTlsContextSchema> {
  // A certificate that anybody may have says nothing: it must name whom we meant.
  const names = tls.subjectAltNames.length > 0 ? tls.subjectAltNames : name === null ? [] : [name];
  const value = {
    trustedCa: tls.rootsPem === undefined ? file(tls.roots ?? systemRoots) : inline(tls.rootsPem),
    matchTypedSubjectAltNames: names.flatMap((exact) =>
      [SanType.DNS, SanType.URI].map((sanType) => ({
        sanType,
        matcher: { matchPattern: { case: 'exact' as const, value: exact } },
      })),
    ),
  };
  return { validationContextType: { case: 'validationContext', value } };
}

function inline(value: string) {
  return { specifier: { case: 'inlineString' as const, value } };
}

function file(value: string) {
  return { specifier: { case: 'filename' as const, value } };
}
