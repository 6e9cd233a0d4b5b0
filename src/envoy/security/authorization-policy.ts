import type { AuthorizationPolicyDocument, RuleDocument } from '../../config/manifests/schemas/authorization-policy.ts';
import { Notes } from '../routes/notes.ts';
import { readAccessRule } from './authorization-rules.ts';
import type { SecurityContext } from './context.ts';
import { noSecurity } from './model.ts';
import type { AccessPolicy, AccessRule } from './model.ts';
import type { LeftPolicy, SecurityPart, SelectedSecurity } from './part.ts';
import { withServerName } from './server-names.ts';
import { conditionType, readTargets, targetReferences } from './targets.ts';

const dryRunAnnotation = 'istio.io/dry-run';
/** As Go reads a truth, which is how Istio reads the annotation. */
const trueWords: readonly (string | undefined)[] = ['1', 't', 'T', 'TRUE', 'true', 'True'];

const actions = { ALLOW: 'allow', DENY: 'deny', AUDIT: 'audit', CUSTOM: 'custom' } as const;

/**
 * An AuthorizationPolicy as waypoints enforce it: with `targetRefs` whole; with a selector, or with neither, those of its rules that the
 * destination cannot look at and leaves to the waypoint. Gateways that it selects enforce it whole. What even a waypoint cannot honour is named, and fails closed.
 */
export function convertAuthorizationPolicy(
  document: AuthorizationPolicyDocument,
  context: SecurityContext,
): SecurityPart {
  return new Conversion(document, context).run();
}

class Conversion {
  readonly #document: AuthorizationPolicyDocument;
  readonly #context: SecurityContext;
  readonly #notes: Notes;

  constructor(document: AuthorizationPolicyDocument, context: SecurityContext) {
    this.#document = document;
    this.#context = context;
    this.#notes = new Notes('AuthorizationPolicy', document);
  }

  run(): SecurityPart {
    const { namespace, name } = this.#document.metadata;
    const resource = `AuthorizationPolicy ${namespace}/${name}`;
    const attached = targetReferences(this.#document).length > 0;
    const { rootNamespace } = this.#context.settings;
    const targets = readTargets(this.#document, { rootNamespace, notes: this.#notes, routes: false });
    const security = attached ? { ...noSecurity, policies: [this.#policy(this.#rules())] } : noSecurity;
    const left = attached ? null : this.#left();
    const selected = attached ? null : new Conversion(this.#document, this.#context).selected();
    return { resource, targets, security, left, selected, conditions: this.#notes.conditions };
  }

  /** As gateways enforce it that its selector chooses: whole. */
  selected(): SelectedSecurity {
    const security = { ...noSecurity, policies: [this.#policy(this.#rules())] };
    return { ...this.#selection(), security, conditions: this.#notes.conditions, unselected: [] };
  }

  /** Behind a waypoint the destination sees only that: who asks, and for what, is for the waypoint to look at. */
  #left(): LeftPolicy | null {
    const { spec } = this.#document;
    const denies = spec.action === 'DENY' || spec.action === 'CUSTOM';
    if (!denies || this.#context.settings.unenforceable === 'ignore') return null;
    const rules = this.#rules();
    if (rules.length === 0) return null;
    return { ...this.#selection(), policy: this.#policy(rules) };
  }

  #selection(): Pick<LeftPolicy, 'namespace' | 'labels'> {
    const { spec, metadata } = this.#document;
    const everywhere = metadata.namespace === this.#context.settings.rootNamespace;
    return { namespace: everywhere ? null : metadata.namespace, labels: spec.selector?.matchLabels ?? {} };
  }

  #policy(rules: readonly AccessRule[]): AccessPolicy {
    const { metadata, spec } = this.#document;
    const dryRun = trueWords.includes(metadata.annotations[dryRunAnnotation]);
    if (dryRun && spec.action === 'CUSTOM') {
      this.#note(
        `metadata.annotations["${dryRunAnnotation}"]`,
        'nobody is asked, so nothing is told of a policy of action CUSTOM',
      );
    }
    return {
      name: `${metadata.namespace}/${metadata.name}`,
      action: actions[spec.action],
      provider: spec.action === 'CUSTOM' ? this.#provider() : null,
      rules,
      dryRun,
    };
  }

  #provider(): AccessPolicy['provider'] {
    const name = this.#document.spec.provider?.name;
    const known = name === undefined ? undefined : this.#context.authorizers.get(name);
    if (known !== undefined) return known;
    const what = name === undefined ? 'is not set' : `${name} is none of the extensionProviders of the MeshSettings`;
    this.#note('spec.provider.name', `${what}: what the rules name is denied, for nobody can be asked`);
    return null;
  }

  #rules(): readonly AccessRule[] {
    return (this.#document.spec.rules ?? []).flatMap((rule, index) => this.#rule(rule, index) ?? []);
  }

  #rule(document: RuleDocument, index: number): AccessRule | null {
    const { settings } = this.#context;
    const { source, operation, beyond } = readAccessRule(document, {
      settings,
      namespace: this.#document.metadata.namespace,
    });
    const allows = this.#document.spec.action === 'ALLOW';
    if (beyond.length === 0) return { source, operation: allows ? withServerName(operation) : operation };
    for (const field of beyond) {
      const instead = allows ? 'the rule never matches, so it allows nothing' : 'the rule is as wide as without it';
      this.#note(`spec.rules[${index}].${field}`, instead);
    }
    return allows ? null : { source, operation };
  }

  #note(field: string, message: string): void {
    this.#notes.add(conditionType, 'PartiallyInvalid', `${field}: ${message}`);
  }
}
