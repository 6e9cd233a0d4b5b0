import { create } from '@bufbuild/protobuf';
import type { LocalPod, MeshSettings, OutboundTrafficMode, OutboundTrafficPolicy } from '../model/workload.ts';
import {
  LocalPodSchema,
  MeshSettingsSchema,
  MeshSettings_OutboundTrafficPolicy_Mode as OutboundMode,
  MeshSettings_SameNode as SameNode,
  MeshSettings_ServiceEntryVisibility as ServiceEntryVisibility,
  MeshSettings_Unenforceable as Unenforceable,
} from '../proto/gen/ambit/mesh/v1/mesh_pb.ts';
import type {
  LocalPod as LocalPodMessage,
  MeshSettings as MeshSettingsMessage,
  MeshSettings_OutboundTrafficPolicy as OutboundTrafficPolicyMessage,
} from '../proto/gen/ambit/mesh/v1/mesh_pb.ts';
import { parseSpiffeId } from '../model/identity.ts';
import type { Decoded } from './decoded.ts';
import { Enumeration } from './enums.ts';

const sameNode = new Enumeration<MeshSettings['sameNode'], SameNode>({
  auto: SameNode.AUTO,
  local: SameNode.LOCAL,
  tls: SameNode.TLS,
});

const visibilities = new Enumeration<MeshSettings['serviceEntryVisibility'], ServiceEntryVisibility>({
  public: ServiceEntryVisibility.PUBLIC,
  namespace: ServiceEntryVisibility.NAMESPACE,
  none: ServiceEntryVisibility.NONE,
});

const outboundModes = new Enumeration<OutboundTrafficMode, OutboundMode>({
  ALLOW_ANY: OutboundMode.ALLOW_ANY,
  REGISTRY_ONLY: OutboundMode.REGISTRY_ONLY,
});

export function encodeMeshSettings(settings: MeshSettings): MeshSettingsMessage {
  return create(MeshSettingsSchema, {
    ...settings,
    trustDomainAliases: [...settings.trustDomainAliases],
    sameNode: sameNode.encode(settings.sameNode),
    unenforceable: settings.unenforceable === 'ignore' ? Unenforceable.IGNORE : Unenforceable.DENY,
    serviceEntryVisibility: visibilities.encode(settings.serviceEntryVisibility),
    excludedNamespaces: [...settings.excludedNamespaces],
    injectionLabelJoins: settings.injectionLabel === 'join',
    outboundTrafficPolicy: encodeOutbound(settings.outboundTrafficPolicy),
  });
}

/** Values of a newer control plane: the wire, which always works, and denying. */
export function decodeMeshSettings(message: MeshSettingsMessage): Decoded<MeshSettings> {
  if (message.trustDomain === '') return { value: null, problems: ['the settings have no trust domain'] };
  const { trustDomain, trustDomainAliases, rootNamespace, clusterDomain, clusterId, network } = message;
  const value: MeshSettings = {
    trustDomain,
    trustDomainAliases,
    rootNamespace,
    clusterDomain,
    clusterId,
    network,
    sameNode: sameNode.decode(message.sameNode) ?? 'tls',
    unenforceable: message.unenforceable === Unenforceable.IGNORE ? 'ignore' : 'deny',
    serviceEntryVisibility: visibilities.decode(message.serviceEntryVisibility) ?? 'none',
    excludedNamespaces: message.excludedNamespaces,
    injectionLabel: message.injectionLabelJoins ? 'join' : 'ignore',
    outboundTrafficPolicy: decodeOutbound(message.outboundTrafficPolicy),
  };
  return { value, problems: [] };
}

function encodeOutbound({ mode, namespaces, allow, refuse }: OutboundTrafficPolicy) {
  const modes = Object.entries(namespaces).map(([name, own]) => [name, outboundModes.encode(own)] as const);
  return {
    mode: outboundModes.encode(mode),
    namespaces: Object.fromEntries(modes),
    allow: [...allow],
    refuse: [...refuse],
  };
}

function decodeOutbound(message: OutboundTrafficPolicyMessage | undefined): OutboundTrafficPolicy {
  const modeOf = (mode: OutboundMode): OutboundTrafficMode => outboundModes.decode(mode) ?? 'REGISTRY_ONLY';
  const namespaces = Object.entries(message?.namespaces ?? {}).map(([name, mode]) => [name, modeOf(mode)] as const);
  return {
    mode: modeOf(message?.mode ?? OutboundMode.ALLOW_ANY),
    namespaces: Object.fromEntries(namespaces),
    allow: message?.allow ?? [],
    refuse: message?.refuse ?? [],
  };
}

export function encodeLocalPod(pod: LocalPod): LocalPodMessage {
  return create(LocalPodSchema, {
    ...pod,
    netns: pod.netns ?? '',
    addresses: [...pod.addresses],
    probePorts: [...pod.probePorts],
    ...(pod.dnsCapture === null ? { dnsCapture: undefined } : { dnsCapture: pod.dnsCapture }),
  });
}

export function decodeLocalPod(message: LocalPodMessage): Decoded<LocalPod> {
  const problems: string[] = [];
  if (message.uid === '') problems.push('the pod has no uid');
  if (parseSpiffeId(message.identity) === null) problems.push('the identity is not a SPIFFE id of a workload');
  if (problems.length > 0) return { value: null, problems };
  const { uid, workload, namespace, name, netns, addresses, identity, probePorts, wanted } = message;
  const value: LocalPod = {
    uid,
    workload,
    namespace,
    name,
    netns: netns === '' ? null : netns,
    addresses,
    identity,
    probePorts,
    handover: message.handover,
    bypassInbound: message.bypassInbound,
    dnsCapture: message.dnsCapture ?? null,
    // Who is told of pods by a control plane runs their proxies itself.
    ending: false,
    wanted,
  };
  return { value, problems: [] };
}
