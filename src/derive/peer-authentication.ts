import type { MutualTlsMode, PeerAuthenticationDocument } from '../config/manifests/schemas/peer-authentication.ts';
import { convertedPolicyPrefix, strictPolicyName } from '../model/policy.ts';
import type { Policy } from '../model/policy.ts';
import type { Condition, MeshSettings } from '../model/workload.ts';
import { byAge } from '../config/manifests/age.ts';
import { policyKey } from './attachment.ts';
import type { DerivedPolicy } from './attachment.ts';
import { condition, groupByNamespace, resourceText } from './context.ts';
import type { Subject } from './external-workload.ts';
import { emptyMatch, withoutIdentity } from './matches.ts';
import { matchesLabels } from './selectors.ts';

export interface PeerAuthentications {
  /** Beside the one of `strictPolicy`. */
  readonly policies: readonly DerivedPolicy[];
  readonly conditions: readonly Condition[];
  /** Keys of the policies that something of the namespace gets. */
  readonly keysFor: (subject: Subject) => readonly string[];
}

/**
 * Modes from mesh to port: the narrowest that says something wins, and among equals the oldest.
 *
 * @param documents those of one namespace
 * @param meshWide those of the root namespace; none where that is the namespace itself
 */
export function derivePeerAuthentications(
  documents: readonly PeerAuthenticationDocument[],
  meshWide: readonly PeerAuthenticationDocument[],
  settings: MeshSettings,
): PeerAuthentications {
  const levels = new Levels([...documents, ...meshWide], settings);
  const strict = strictPolicy(settings);
  const converted = documents.flatMap((document) => convertPorts(document, levels.baseOf(document), levels) ?? []);
  const convertedKeys = new Set(converted.map(({ policy }) => policyKey(policy)));
  return {
    policies: converted,
    conditions: documents.flatMap((document) => conditionsOf(document, levels)),
    keysFor: (pod) => {
      const narrowest = levels.workloadLevel(pod);
      const key = narrowest === null ? '' : convertedKey(narrowest);
      // The converted policy holds the base mode too: beside the static one its open ports would stay shut.
      if (convertedKeys.has(key)) return [key];
      return levels.modeFor(pod, narrowest) === 'STRICT' ? [policyKey(strict)] : [];
    },
  };
}

/** The documents by level, each level in order of age. */
class Levels {
  readonly #mesh: readonly PeerAuthenticationDocument[];
  readonly #namespaces: ReadonlyMap<string, readonly PeerAuthenticationDocument[]>;
  readonly #workloads: ReadonlyMap<string, readonly PeerAuthenticationDocument[]>;
  readonly #root: string;

  constructor(documents: readonly PeerAuthenticationDocument[], settings: MeshSettings) {
    const sorted = documents.toSorted(byAge);
    const wide = sorted.filter((document) => selectorOf(document) === null);
    this.#root = settings.rootNamespace;
    this.#mesh = wide.filter(({ metadata }) => metadata.namespace === this.#root);
    this.#namespaces = groupByNamespace(wide.filter(({ metadata }) => metadata.namespace !== this.#root));
    this.#workloads = groupByNamespace(
      sorted.filter((document) => selectorOf(document) !== null && !this.isIgnored(document)),
    );
  }

  /** As in Istio, a selector in the root namespace selects nothing. */
  isIgnored(document: PeerAuthenticationDocument): boolean {
    return selectorOf(document) !== null && document.metadata.namespace === this.#root;
  }

  workloadLevel(pod: Subject): PeerAuthenticationDocument | null {
    const candidates = this.#workloads.get(pod.metadata.namespace) ?? [];
    return candidates.find((document) => matchesLabels(selectorOf(document) ?? {}, pod.metadata.labels)) ?? null;
  }

  /** The mode of the pod's ports that have none of their own. */
  modeFor(pod: Subject, workloadLevel: PeerAuthenticationDocument | null): MutualTlsMode {
    return firstSet([modeOf(workloadLevel), this.#wideMode(pod.metadata.namespace)]);
  }

  /** The mode of a document's ports that it does not name. */
  baseOf(document: PeerAuthenticationDocument): MutualTlsMode {
    return firstSet([modeOf(document), this.#wideMode(document.metadata.namespace)]);
  }

  /** The older document of the same level that this one can never win against. */
  winnerOver(document: PeerAuthenticationDocument): PeerAuthenticationDocument | null {
    if (selectorOf(document) !== null) return null;
    const level =
      document.metadata.namespace === this.#root
        ? this.#mesh
        : (this.#namespaces.get(document.metadata.namespace) ?? []);
    return level[0] === document ? null : (level[0] ?? null);
  }

  #wideMode(namespace: string): MutualTlsMode {
    return firstSet([modeOf(this.#namespaces.get(namespace)?.[0] ?? null), modeOf(this.#mesh[0] ?? null)]);
  }
}

/** The one that shuts every port; it is there whether anything asks for it or not. */
export function strictPolicy(settings: MeshSettings): Policy {
  return denial(strictPolicyName, settings.rootNamespace, [[withoutIdentity]]);
}

/** The policy of the ports whose mode differs from the others'; null where none does. */
function convertPorts(document: PeerAuthenticationDocument, base: MutualTlsMode, levels: Levels): DerivedPolicy | null {
  const selector = selectorOf(document);
  if (selector === null || levels.isIgnored(document)) return null;
  const differing = Object.entries(document.spec.portLevelMtls ?? {})
    .filter(([, mode]) => mode !== 'UNSET' && (mode === 'STRICT') !== (base === 'STRICT'))
    .map(([port]) => Number(port));
  if (differing.length === 0) return null;
  const ports = base === 'STRICT' ? { notDestinationPorts: differing } : { destinationPorts: differing };
  const { namespace, name } = document.metadata;
  const policy = denial(convertedPolicyPrefix + name, namespace, [[withoutIdentity], [{ ...emptyMatch, ...ports }]]);
  // Attached by `keysFor`, for only the oldest of several selecting documents counts.
  return { policy, selector: null, untilWaypoint: false };
}

function denial(name: string, namespace: string, clauses: Policy['rules'][number]['clauses']): Policy {
  return { name, namespace, scope: 'workload-selector', action: 'deny', rules: [{ clauses }], dryRun: false };
}

function conditionsOf(document: PeerAuthenticationDocument, levels: Levels): readonly Condition[] {
  const resource = resourceText('PeerAuthentication', document);
  const conditions: Condition[] = [];
  const note = (reason: string, message: string) => {
    conditions.push(condition(resource, 'ZtunnelAccepted', reason, message));
  };
  if (levels.isIgnored(document))
    note('Ignored', 'a selector in the root namespace selects nothing: move it to the namespace of the pods');
  const winner = levels.winnerOver(document);
  if (winner !== null)
    note('Conflict', `${resourceText('PeerAuthentication', winner)} of the same level is older and holds instead`);
  const modes = [modeOf(document), ...Object.values(document.spec.portLevelMtls ?? {})];
  if (modes.includes('DISABLE')) {
    note('PartiallyInvalid', 'DISABLE acts as PERMISSIVE: pods of the mesh still reach each other by mutual TLS');
  }
  return conditions;
}

function convertedKey({ metadata }: PeerAuthenticationDocument): string {
  return `${metadata.namespace}/${convertedPolicyPrefix}${metadata.name}`;
}

function selectorOf({ spec }: PeerAuthenticationDocument): Readonly<Record<string, string>> | null {
  const labels = spec.selector?.matchLabels ?? {};
  return Object.keys(labels).length === 0 ? null : labels;
}

function modeOf(document: PeerAuthenticationDocument | null): MutualTlsMode {
  return document?.spec.mtls ?? 'UNSET';
}

function firstSet(modes: readonly MutualTlsMode[]): MutualTlsMode {
  return modes.find((mode) => mode !== 'UNSET') ?? 'PERMISSIVE';
}
