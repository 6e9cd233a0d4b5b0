import { z } from 'zod';
import { parseCidr } from '../../../model/address.ts';
import { isTrustDomain } from '../../../model/identity.ts';
import type { MeshSettings } from '../../../model/workload.ts';
import { clusterMetadata, closed, namespaceName, optionalObject, resourceName, text } from './common.ts';
import { accessLogFields, accessLogMistakes } from './access-log-settings.ts';
import { extensionProvider } from './extension-providers.ts';
import { outboundTrafficPolicy } from './outbound-traffic-policy.ts';

const trustDomain = text.refine(isTrustDomain, {
  error: 'must be a SPIFFE trust domain: lower-case letters, digits, `.`, `-` and `_`',
});

function count(least: number, most: number) {
  return z
    .int({ error: `must be a whole number, ${least} to ${most}` })
    .min(least)
    .max(most);
}

function choice<const Value extends string>(values: readonly [Value, ...Value[]]) {
  return z.enum(values, { error: `must be one of ${values.join(', ')}` });
}

const normalizations = ['DEFAULT', 'NONE', 'BASE', 'MERGE_SLASHES', 'DECODE_AND_MERGE_SLASHES'] as const;

/** Of HTTP at waypoints and gateways, in the words of Istio's `meshConfig` where that has them. */
const httpFields = {
  pathNormalization: closed({ normalization: choice(normalizations).default('DEFAULT') })
    .prefault({})
    .describe(
      'At waypoints and gateways, as in Istio: `normalization` is `NONE`, `BASE`, `MERGE_SLASHES` (which is the `DEFAULT` here) or `DECODE_AND_MERGE_SLASHES`. Policies and routes see the path after it.',
    ),
  numTrustedProxies: count(0, 255)
    .default(0)
    .describe(
      'Proxies before the mesh whose `x-forwarded-for` waypoints and gateways believe, as in Istio’s `gatewayTopology`: for `remoteIpBlocks` and `remote.ip`. Whoever may call a waypoint then can say another address.',
    ),
  gatewayTopology: closed({
    proxyProtocol: z.boolean().default(false),
    http3: z.boolean().default(false),
  })
    .prefault({})
    .describe(
      'What is before gateways. `proxyProtocol: true`: a load balancer that begins each connection with a header of PROXY protocol, v1 or v2; connections without one are closed, and whoever reaches a gateway past the balancer can say another address. `http3: true`: HTTP/3 on the UDP ports of the same numbers.',
    ),
  maxRequestHeadersKb: count(1, 8192)
    .default(60)
    .describe(
      'How long the headers of a request may be at waypoints and gateways, all together; above it is answered 431.',
    ),
  maxRequestHeadersCount: count(1, 10_000)
    .default(100)
    .describe('How many headers a request may have there, likewise.'),
};

/** Each field's text is its row in docs/settings.md. */
const fields = closed({
  trustDomain: trustDomain
    .default('cluster.local')
    .describe('The name before the first slash of every identity, `spiffe://NAME/ns/…/sa/…`.'),
  trustDomainAliases: z
    .array(trustDomain)
    .default([])
    .describe('Former or foreign trust domains whose identities count as those of `trustDomain`.'),
  rootNamespace: namespaceName.default('istio-system').describe('Namespace whose policies hold in every namespace.'),
  clusterDomain: resourceName.default('cluster.local').describe('DNS domain behind `NAME.NAMESPACE.svc.`'),
  clusterId: clusterIdentifier()
    .default('Kubernetes')
    .describe('First part of every workload’s uid, and a label of metrics.'),
  network: text.default('').describe('Network of the addresses of this cluster.'),
  sameNode: choice(['auto', 'local', 'tls'])
    .default('auto')
    .describe(
      'How two pods of one node are joined: `local` without a wire, `tls` through their veths, `auto` without a wire unless a NetworkPolicy selects one of them.',
    ),
  unenforceable: choice(['deny', 'ignore'])
    .default('deny')
    .describe('What becomes of parts of a policy that L4 cannot see: closed, or left out as in Istio.'),
  serviceEntryVisibility: choice(['public', 'namespace', 'none'])
    .default('public')
    .describe('The widest that a ServiceEntry may be seen: by all namespaces, by its own, by none.'),
  scopeGatewayToNamespace: z
    .boolean()
    .default(false)
    .describe('Selectors of Istio Gateways choose among gateways of their own namespace alone.'),
  ingressGatewayNamespace: text
    .refine((value) => value === '' || namespaceName.safeParse(value).success, {
      error: 'must be a namespace name, or empty for that of `rootNamespace`',
    })
    .default('')
    .describe(
      'The only namespace whose gateways serve Ingresses, and are given their keys; empty: the `rootNamespace`. Its pods of gateways need the label `istio: ingressgateway`.',
    ),
  excludedNamespaces: z
    .array(namespaceName)
    .default(['kube-system'])
    .describe('Namespaces whose pods never join, whatever their labels say.'),
  injectionLabel: choice(['ignore', 'join'])
    .default('ignore')
    .describe('`join`: a namespace with `istio-injection: enabled` joins, as one with the label of ambient does.'),
  outboundTrafficPolicy: outboundTrafficPolicy
    .prefault({})
    .describe(
      'Where pods may go that nobody in the mesh has: `mode` ALLOW_ANY or REGISTRY_ONLY, `namespaces` with another one, blocks to `allow` and to `refuse`: see [egress.md](egress.md).',
    ),
  extensionProviders: z
    .array(extensionProvider)
    .default([])
    .describe('Whom policies of action CUSTOM ask, written as in Istio: see [security.md](security.md).'),
  jwksSources: z
    .array(jwksSource())
    .default(['public'])
    .describe(
      'Where `ambit control` may fetch keys of tokens from: `public` for any address of the internet, blocks of addresses, hosts, `*.` before a domain for all of its hosts.',
    ),
  ...httpFields,
  ...accessLogFields,
});

export const meshSettingsSpec = fields.superRefine((settings, context) => {
  for (const message of accessLogMistakes(settings)) {
    context.addIssue({ code: 'custom', message, path: ['accessLogFormat'] });
  }
});

export const meshSettingsSchema = closed({
  apiVersion: text,
  kind: text,
  metadata: optionalObject(clusterMetadata.partial({ name: true })),
  spec: optionalObject(meshSettingsSpec),
  status: z.unknown().optional(),
});

export type MeshSettingsFields = z.output<typeof meshSettingsSpec>;
export type MeshSettingsDocument = z.output<typeof meshSettingsSchema>;

/** What holds where no document says otherwise. */
export const defaultMeshFields: MeshSettingsFields = meshSettingsSpec.parse({});
export const defaultMeshSettings: MeshSettings = defaultMeshFields;

/** A cluster's id is the first part of every uid, so it may hold no slash. */
function clusterIdentifier() {
  return text.refine((value) => /^[A-Za-z0-9]([-A-Za-z0-9._]{0,251}[A-Za-z0-9])?$/.test(value), {
    error: 'must be letters, digits, `-`, `_` and `.`',
  });
}

function jwksSource() {
  const host = /^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
  return text.refine((value) => parseCidr(value) !== null || host.test(value), {
    error: 'must be `public`, a block of addresses, the name of a host or `*.` and a domain',
  });
}
