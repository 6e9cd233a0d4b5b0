import type { TransportSocketSchema } from '../proto/gen/envoy-api/envoy/config/core/v3/base_pb.ts';
import { SubjectAltNameMatcher_SanType as SanType } from '../proto/gen/envoy-api/envoy/extensions/transport_sockets/tls/v3/common_pb.ts';
import type { CommonTlsContextSchema } from '../proto/gen/envoy-api/envoy/extensions/transport_sockets/tls/v3/tls_pb.ts';
import { UpstreamTlsContextSchema } from '../proto/gen/envoy-api/envoy/extensions/transport_sockets/tls/v3/tls_pb.ts';
import type { ClientTls } from './model.ts';
import { given, typed } from './values.ts';
import type { Init } from './values.ts';

/** Where Envoy's image, a Debian, keeps the certificates that everybody trusts. */
const systemRoots = '/etc/ssl/certs/ca-certificates.crt';

/** TLS that the waypoint itself speaks, to what is outside of the mesh. */
export function transportSocket(tls: ClientTls): Init<typeof TransportSocketSchema> {
  return typed('envoy.transport_sockets.tls', UpstreamTlsContextSchema, {
    ...given(tls.serverName, (sni) => ({ sni })),
    commonTlsContext: {
      ...(tls.insecure ? {} : validation(tls)),
      ...given(tls.certificate, ({ chain, key }) => ({
        tlsCertificates: [{ certificateChain: file(chain), privateKey: file(key) }],
      })),
    },
  });
}

function validation(tls: ClientTls): Init<typeof CommonTlsContextSchema> {
  // A certificate that anybody may have says nothing: it must name whom we meant.
  const names = tls.subjectAltNames.length > 0 ? tls.subjectAltNames : tls.serverName === null ? [] : [tls.serverName];
  const value = {
    trustedCa: file(tls.roots ?? systemRoots),
    matchTypedSubjectAltNames: names.flatMap((exact) =>
      [SanType.DNS, SanType.URI].map((sanType) => ({
        sanType,
        matcher: { matchPattern: { case: 'exact' as const, value: exact } },
      })),
    ),
  };
  return { validationContextType: { case: 'validationContext', value } };
}

function file(value: string) {
  return { specifier: { case: 'filename' as const, value } };
}
