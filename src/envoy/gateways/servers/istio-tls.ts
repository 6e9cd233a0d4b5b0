import type { IstioServerTlsDocument } from '../../../config/manifests/schemas/istio-gateway.ts';
import type { Notes } from '../../routes/notes.ts';
import type { TlsVersion } from '../model.ts';
import type { SecretReference, ServerTlsTerms } from '../server.ts';
import { chooseCipherSuites } from './cipher-suites.ts';

const resourceName = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/;
const configMapPrefix = 'configmap://';

const versions: Readonly<Record<IstioServerTlsDocument['minProtocolVersion'], TlsVersion | null>> = {
  TLS_AUTO: null,
  TLSV1_0: '1.0',
  TLSV1_1: '1.1',
  TLSV1_2: '1.2',
  TLSV1_3: '1.3',
};

/** What a server of an Istio Gateway does with TLS; a text: why it cannot be served. */
export type IstioTerms = { readonly tls: ServerTlsTerms | 'passthrough' } | { readonly refused: string };

/** @param field of the server's `tls`, for messages */
export function istioTerms(tls: IstioServerTlsDocument, field: string, notes: Notes): IstioTerms {
  switch (tls.mode) {
    case 'AUTO_PASSTHROUGH':
      return refuse(`${field}.mode: AUTO_PASSTHROUGH joins meshes of sidecars, and there are none here`);
    case 'ISTIO_MUTUAL':
      return refuse(`${field}.mode: a gateway’s proxy has no certificate of the mesh to show: SIMPLE or MUTUAL`);
    case 'PASSTHROUGH':
    case null:
      return passthrough(tls, field);
    case 'SIMPLE':
    case 'MUTUAL':
    case 'OPTIONAL_MUTUAL':
      return ended(tls, field, notes);
  }
}

function refuse(message: string): IstioTerms {
  return { refused: message };
}

/** What is left out means it, too. But who names a certificate wants TLS to end here, and must say how. */
function passthrough(tls: IstioServerTlsDocument, field: string): IstioTerms {
  const named = tls.credentialName !== null || tls.credentialNames.length > 0 || usesFiles(tls);
  if (tls.mode === null && named) return refuse(`${field}.mode: is needed beside a certificate: SIMPLE or MUTUAL`);
  return { tls: 'passthrough' };
}

function usesFiles(tls: IstioServerTlsDocument): boolean {
  const { serverCertificate, privateKey, caCertificates, caCrl, tlsCertificates } = tls;
  return (
    tlsCertificates.length > 0 || [serverCertificate, privateKey, caCertificates, caCrl].some((file) => file !== null)
  );
}

function ended(tls: IstioServerTlsDocument, field: string, notes: Notes): IstioTerms {
  if (usesFiles(tls)) return refuse(`${field}: files in the proxy’s pod are not read: name a Secret by credentialName`);
  const names =
    tls.credentialNames.length > 0 ? tls.credentialNames : [tls.credentialName].filter((name) => name !== null);
  const wrong = names.find((name) => !resourceName.test(name));
  if (wrong !== undefined) return refuse(`${field}: ${wrong} is no name of a Secret`);
  const [first] = names;
  if (first === undefined) return refuse(`${field}.credentialName: is needed by ${tls.mode ?? ''}`);
  const roots = rootsOf(tls, first);
  if (typeof roots === 'string') return refuse(`${field}.caCertCredentialName: ${roots}`);
  const minimumVersion = versions[tls.minProtocolVersion];
  const maximumVersion = versions[tls.maxProtocolVersion];
  if (minimumVersion !== null && maximumVersion !== null && minimumVersion > maximumVersion)
    return refuse(`${field}.minProtocolVersion: is higher than maxProtocolVersion`);
  const terms: ServerTlsTerms = {
    certificates: names.map((name) => ({ kind: 'Secret', namespace: null, name, use: 'certificate' })),
    clients: clientsOf(tls, roots, field, notes),
    minimumVersion,
    maximumVersion,
    cipherSuites: suitesOf(tls, field, notes),
  };
  return { tls: terms };
}

/** A text: what is wrong with it. */
function rootsOf({ caCertCredentialName: name }: IstioServerTlsDocument, credential: string): SecretReference | string {
  if (name === null) return { kind: 'Secret', namespace: null, name: credential, use: 'roots', suffix: '-cacert' };
  const isMap = name.startsWith(configMapPrefix);
  const bare = isMap ? name.slice(configMapPrefix.length) : name;
  if (!resourceName.test(bare))
    return `${name} is no name of a Secret, and no ${configMapPrefix} before that of a ConfigMap`;
  return { kind: isMap ? 'ConfigMap' : 'Secret', namespace: null, name: bare, use: 'roots' };
}

function clientsOf(
  tls: IstioServerTlsDocument,
  roots: SecretReference,
  field: string,
  notes: Notes,
): ServerTlsTerms['clients'] {
  const { subjectAltNames, verifyCertificateSpki, verifyCertificateHash } = tls;
  if (tls.mode !== 'SIMPLE') {
    return {
      required: tls.mode === 'MUTUAL',
      roots,
      subjectAltNames,
      publicKeyHashes: verifyCertificateSpki,
      certificateHashes: verifyCertificateHash,
    };
  }
  const asked = subjectAltNames.length + verifyCertificateSpki.length + verifyCertificateHash.length;
  if (asked > 0)
    notes.add('Accepted', 'UnsupportedValue', `${field}: with mode SIMPLE clients are not asked for a certificate`);
  return null;
}

function suitesOf({ cipherSuites }: IstioServerTlsDocument, field: string, notes: Notes): readonly string[] {
  const { suites, unknown } = chooseCipherSuites(cipherSuites);
  if (unknown.length > 0)
    notes.unsupported(`${field}.cipherSuites`, `${unknown.join(', ')} is none that gateways speak, and is left out`);
  return suites;
}
