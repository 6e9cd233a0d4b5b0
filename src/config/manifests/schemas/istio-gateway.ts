import { z } from 'zod';
import { closed, documentOf, list, maybe, portNumber, stringMap, text } from './common.ts';
import { notHonoured } from './gateway-common.ts';
import { flag } from './istio-common.ts';

const modes = ['PASSTHROUGH', 'SIMPLE', 'MUTUAL', 'AUTO_PASSTHROUGH', 'ISTIO_MUTUAL', 'OPTIONAL_MUTUAL'] as const;
const versions = ['TLS_AUTO', 'TLSV1_0', 'TLSV1_1', 'TLSV1_2', 'TLSV1_3'] as const;

/** `HOST` or `NAMESPACE/HOST`, where `.` is the namespace of the Gateway and `*` any. */
const host = text
  .transform((value) => value.toLowerCase())
  .refine(
    (value) =>
      /^((\*|\.|[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)\/)?(\*|(\*\.)?[a-z0-9_]([-a-z0-9_]*[a-z0-9_])?(\.[a-z0-9_]([-a-z0-9_]*[a-z0-9_])?)*)$/.test(
        value,
      ),
    { error: 'must be a DNS name, `*.` and a domain, or `*`, maybe after a namespace and `/`' },
  );

const version = z
  .enum(versions, { error: `must be one of ${versions.join(', ')}` })
  .nullish()
  .transform((value) => value ?? 'TLS_AUTO');

const publicKeyHash = text.refine((value) => /^[A-Za-z0-9+/]{43}=$/.test(value), {
  error: 'must be a SHA-256 hash in base64',
});

/** Also as `openssl x509 -fingerprint` prints them. */
const certificateHash = text
  .refine((value) => /^([0-9A-Fa-f]{64}|([0-9A-Fa-f]{2}:){31}[0-9A-Fa-f]{2})$/.test(value), {
    error: 'must be a SHA-256 hash in hexadecimal digits',
  })
  .transform((value) => value.replaceAll(':', '').toLowerCase());

const files = closed({ serverCertificate: maybe(text), privateKey: maybe(text), caCertificates: maybe(text) });

const tls = closed({
  httpsRedirect: flag,
  /** null: what Istio takes for PASSTHROUGH where TLS is spoken, and nothing where it is not. */
  mode: maybe(z.enum(modes, { error: `must be one of ${modes.join(', ')}` })),
  serverCertificate: maybe(text),
  privateKey: maybe(text),
  caCertificates: maybe(text),
  caCrl: maybe(text),
  tlsCertificates: list(files),
  credentialName: maybe(text),
  credentialNames: list(text),
  caCertCredentialName: maybe(text),
  subjectAltNames: list(text.min(1)),
  verifyCertificateSpki: list(publicKeyHash),
  verifyCertificateHash: list(certificateHash),
  minProtocolVersion: version,
  maxProtocolVersion: version,
  cipherSuites: list(text),
});

const server = closed({
  name: maybe(text),
  port: closed({ number: portNumber, name: maybe(text), protocol: text, targetPort: notHonoured }),
  bind: maybe(text),
  hosts: z.array(host).min(1, { error: 'must name at least one host' }),
  tls: maybe(tls),
  defaultEndpoint: maybe(text),
});

/** Istio's own Gateway. */
export const istioGatewaySchema = documentOf(closed({ selector: stringMap, servers: list(server) }));

export type IstioGatewayDocument = z.output<typeof istioGatewaySchema>;
export type IstioServerDocument = z.output<typeof server>;
export type IstioServerTlsDocument = z.output<typeof tls>;
