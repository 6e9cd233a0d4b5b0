import { create } from '@bufbuild/protobuf';
import { SecretSchema } from '../../proto/gen/envoy-api/envoy/extensions/transport_sockets/tls/v3/secret_pb.ts';
import type { Secret } from '../../proto/gen/envoy-api/envoy/extensions/transport_sockets/tls/v3/secret_pb.ts';
import { given } from '../values.ts';
import type { GatewaySecret } from './model.ts';

/**
 * What is sent by SDS. Whoever prints the message prints the key: only its name may be shown.
 *
 * Of several authorities between a client's certificate and a root a revocation list has to have the list of each, or none of their
 * certificates is good: Envoy's rule, which closes where a list was forgotten.
 */
export function buildGatewaySecret(secret: GatewaySecret): Secret {
  const { name } = secret;
  if (secret.kind === 'roots') {
    const revoked = given(secret.revocationList, (list) => ({ crl: text(list) }));
    return create(SecretSchema, {
      name,
      type: { case: 'validationContext', value: { trustedCa: text(secret.roots), ...revoked } },
    });
  }
  const staple = given(secret.staple, (value) => ({ ocspStaple: bytes(value) }));
  return create(SecretSchema, {
    name,
    type: {
      case: 'tlsCertificate',
      value: { certificateChain: text(secret.chain), privateKey: text(secret.key), ...staple },
    },
  });
}

function text(value: string) {
  return { specifier: { case: 'inlineString' as const, value } };
}

function bytes(value: Uint8Array) {
  return { specifier: { case: 'inlineBytes' as const, value } };
}
