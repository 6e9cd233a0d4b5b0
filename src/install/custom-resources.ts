import { z } from 'zod';
import { authorizationPolicySchema } from '../config/manifests/schemas/authorization-policy.ts';
import { destinationRuleSchema } from '../config/manifests/schemas/destination-rule.ts';
import { istioGatewaySchema } from '../config/manifests/schemas/istio-gateway.ts';
import { meshSettingsSchema } from '../config/manifests/schemas/mesh-settings.ts';
import { peerAuthenticationSchema } from '../config/manifests/schemas/peer-authentication.ts';
import { rateLimitPolicySchema } from '../config/manifests/schemas/rate-limit-policy.ts';
import { requestAuthenticationSchema } from '../config/manifests/schemas/request-authentication.ts';
import { serviceEntrySchema } from '../config/manifests/schemas/service-entry.ts';
import { virtualServiceSchema } from '../config/manifests/schemas/virtual-service.ts';
import { workloadEntrySchema, workloadGroupSchema } from '../config/manifests/schemas/workload-entry.ts';
import type { ManifestObject } from './manifest-object.ts';

interface CustomKind {
  readonly kind: string;
  readonly plural: string;
  readonly shortName: string;
  readonly group: string;
  /** The first one is what is stored. */
  readonly versions: readonly string[];
  readonly scope: 'Namespaced' | 'Cluster';
  readonly spec: z.ZodType;
  /** Columns of `kubectl get`: name and JSON path. */
  readonly columns: Readonly<Record<string, string>>;
}

type JsonSchema = Readonly<Record<string, unknown>>;

const security = { group: 'security.istio.io', versions: ['v1', 'v1beta1'], scope: 'Namespaced' } as const;
const networking = {
  group: 'networking.istio.io',
  versions: ['v1', 'v1beta1', 'v1alpha3'],
  scope: 'Namespaced',
} as const;

const kinds: readonly CustomKind[] = [
  {
    ...security,
    kind: 'AuthorizationPolicy',
    plural: 'authorizationpolicies',
    shortName: 'ap',
    spec: authorizationPolicySchema.shape.spec,
    columns: { Action: '.spec.action' },
  },
  {
    ...security,
    kind: 'PeerAuthentication',
    plural: 'peerauthentications',
    shortName: 'pa',
    spec: peerAuthenticationSchema.shape.spec,
    columns: { Mode: '.spec.mtls.mode' },
  },
  {
    ...security,
    kind: 'RequestAuthentication',
    plural: 'requestauthentications',
    shortName: 'ra',
    spec: requestAuthenticationSchema.shape.spec,
    columns: {},
  },
  {
    ...networking,
    kind: 'ServiceEntry',
    plural: 'serviceentries',
    shortName: 'se',
    spec: serviceEntrySchema.shape.spec,
    columns: { Hosts: '.spec.hosts', Location: '.spec.location', Resolution: '.spec.resolution' },
  },
  {
    ...networking,
    kind: 'WorkloadEntry',
    plural: 'workloadentries',
    shortName: 'we',
    spec: workloadEntrySchema.shape.spec,
    columns: { Address: '.spec.address' },
  },
  {
    ...networking,
    kind: 'WorkloadGroup',
    plural: 'workloadgroups',
    shortName: 'wg',
    spec: workloadGroupSchema.shape.spec,
    columns: {},
  },
  {
    ...networking,
    kind: 'VirtualService',
    plural: 'virtualservices',
    shortName: 'vs',
    spec: virtualServiceSchema.shape.spec,
    columns: { Gateways: '.spec.gateways', Hosts: '.spec.hosts' },
  },
  {
    ...networking,
    kind: 'Gateway',
    plural: 'gateways',
    shortName: 'gw',
    spec: istioGatewaySchema.shape.spec,
    columns: {},
  },
  {
    ...networking,
    kind: 'DestinationRule',
    plural: 'destinationrules',
    shortName: 'dr',
    spec: destinationRuleSchema.shape.spec,
    columns: { Host: '.spec.host' },
  },
  {
    group: 'ambit.dev',
    versions: ['v1alpha1'],
    scope: 'Namespaced',
    kind: 'RateLimitPolicy',
    plural: 'ratelimitpolicies',
    shortName: 'rlp',
    spec: rateLimitPolicySchema.shape.spec,
    columns: {},
  },
  {
    group: 'ambit.dev',
    versions: ['v1alpha1'],
    scope: 'Cluster',
    kind: 'MeshSettings',
    plural: 'meshsettings',
    shortName: 'ms',
    spec: meshSettingsSchema.shape.spec,
    columns: { 'Trust domain': '.spec.trustDomain' },
  },
];

/** Definitions of the kinds that we read. Those of Istio are never put over ones that are there already: see `install`. */
export function customResourceDefinitions(): readonly ManifestObject[] {
  return kinds.map(definitionOf);
}

function definitionOf({ kind, plural, shortName, group, versions, scope, spec, columns }: CustomKind): ManifestObject {
  const schema = { openAPIV3Schema: objectSchema(spec) };
  const additionalPrinterColumns = [
    ...Object.entries(columns).map(([name, jsonPath]) => ({ name, jsonPath, type: 'string' })),
    { name: 'Age', jsonPath: '.metadata.creationTimestamp', type: 'date' },
  ];
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.${group}`, labels: { 'app.kubernetes.io/part-of': 'ambit' } },
    spec: {
      group,
      scope,
      names: {
        kind,
        listKind: `${kind}List`,
        plural,
        singular: kind.toLowerCase(),
        shortNames: [shortName],
        categories: ['istio-io', `${group.split('.')[0] ?? ''}-istio-io`],
      },
      versions: versions.map((name, index) => ({
        name,
        served: true,
        storage: index === 0,
        schema,
        subresources: { status: {} },
        additionalPrinterColumns,
      })),
    },
  };
}

function objectSchema(spec: z.ZodType): JsonSchema {
  const condition = {
    type: 'object',
    required: ['type', 'status'],
    properties: {
      ...Object.fromEntries(['type', 'status', 'reason', 'message'].map((name) => [name, { type: 'string' }])),
      lastTransitionTime: { type: 'string', format: 'date-time' },
      observedGeneration: { type: 'integer', format: 'int64' },
    },
  };
  const conditions = {
    type: 'array',
    items: condition,
    'x-kubernetes-list-type': 'map',
    'x-kubernetes-list-map-keys': ['type'],
  };
  return {
    type: 'object',
    properties: {
      spec: structural(z.toJSONSchema(spec, { target: 'openapi-3.0', io: 'input', unrepresentable: 'any' })),
      status: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true, properties: { conditions } },
    },
  };
}

/**
 * As the API server wants it. Fields that we do not know are kept, not cut off: a condition with a mistyped name that were cut off
 * in silence would turn a rule into a wider one, while we refuse what we cannot read.
 */
function structural(schema: unknown): JsonSchema {
  const source = schema as JsonSchema;
  const unknownFields = source['additionalProperties'];
  const parts = Object.entries(source).flatMap(([name, value]): [string, unknown][] => {
    switch (name) {
      case '$schema':
      case 'additionalProperties':
        return [];
      case 'items':
        return [[name, structural(value)]];
      case 'properties':
        return [[name, mapped(value as JsonSchema)]];
      default:
        return [[name, value]];
    }
  });
  // The API server wants to know the type of everything, but of what it is to keep as it is.
  if (unknownFields === false || source['type'] === undefined)
    parts.push(['x-kubernetes-preserve-unknown-fields', true]);
  else if (unknownFields !== undefined) parts.push(['additionalProperties', structural(unknownFields)]);
  return Object.fromEntries(parts);
}

function mapped(properties: JsonSchema): JsonSchema {
  return Object.fromEntries(Object.entries(properties).map(([name, value]) => [name, structural(value)]));
}
