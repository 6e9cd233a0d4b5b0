import type { AuthorizationPolicyDocument } from '../config/manifests/schemas/authorization-policy.ts';
import { unenforceablePolicyPrefix } from '../model/policy.ts';
import type { Policy, Rule } from '../model/policy.ts';
import type { Condition, MeshSettings } from '../model/workload.ts';
import type { DerivedPolicies, DerivedPolicy } from './attachment.ts';
import { readRule } from './authorization-rules.ts';
import type { Alternative, ReadRule } from './authorization-rules.ts';
import { condition, resourceText } from './context.ts';
import { limited } from './limited.ts';
import { isEmptyMatch } from './matches.ts';

const conditionType = 'ZtunnelAccepted';
const dryRunAnnotation = 'istio.io/dry-run';
/** As Go reads a truth, which is how Istio reads the annotation. */
const trueWords = ['1', 't', 'T', 'TRUE', 'true', 'True'];
const falseWords = ['0', 'f', 'F', 'FALSE', 'false', 'False'];

/** Policies as L4 can enforce them, and in conditions what of them it cannot. */
export function deriveAuthorizationPolicies(
  documents: readonly AuthorizationPolicyDocument[],
  settings: MeshSettings,
): DerivedPolicies {
  const results = documents.map((document) => new Conversion(document, settings).run());
  return {
    policies: results.flatMap(({ policies }) => policies),
    conditions: results.flatMap(({ conditions }) => conditions),
  };
}

/** One document on its way to a policy. */
class Conversion {
  readonly #document: AuthorizationPolicyDocument;
  readonly #settings: MeshSettings;
  readonly #conditions: Condition[] = [];
  /** A rule denies everything, for L4 sees nothing of what it asks for. */
  #deniesBlindly = false;

  constructor(document: AuthorizationPolicyDocument, settings: MeshSettings) {
    this.#document = document;
    this.#settings = settings;
  }

  run(): DerivedPolicies {
    const policy = this.#convert();
    const policies = policy === null ? [] : this.#parts(policy);
    return { policies, conditions: limited(this.#conditions) };
  }

  /** What denies blindly is a policy of its own, which a waypoint makes needless. */
  #parts(policy: Policy): readonly DerivedPolicy[] {
    const selector = this.#selector();
    const seeing = { policy, selector, untilWaypoint: false };
    if (!this.#deniesBlindly) return [seeing];
    const { name, namespace } = policy;
    const blind: DerivedPolicy = {
      policy: {
        ...policy,
        name: unenforceablePolicyPrefix + name,
        scope: 'workload-selector',
        rules: [{ clauses: [] }],
      },
      selector: selector ?? { namespace: this.#isRoot() ? null : namespace, labels: {} },
      untilWaypoint: true,
    };
    return policy.rules.length === 0 ? [blind] : [seeing, blind];
  }

  #convert(): Policy | null {
    const { spec, metadata } = this.#document;
    if (spec.targetRef !== null || (spec.targetRefs ?? []).length > 0) {
      return this.#refuse(
        'TargetRefs',
        'has targetRefs: waypoints enforce it in front of what they name; what has no waypoint is not guarded by it',
      );
    }
    const action = this.#action();
    if (action === null) return null;
    // First what is said of the policy as a whole: of its rules only some are told.
    const dryRun = this.#dryRun();
    if (action === 'deny' && (spec.rules ?? []).length === 0)
      this.#note('Invalid', 'has no rules, so it denies nothing');
    if (spec.provider !== null && spec.action !== 'CUSTOM')
      this.#note('Invalid', `names a provider, which action ${spec.action} does not ask`);
    const rules = (spec.rules ?? []).flatMap(
      (rule, index) => this.#rule(action, readRule(rule, this.#reader()), index) ?? [],
    );
    const { name, namespace } = metadata;
    return { name, namespace, scope: this.#scope(), action, rules, dryRun };
  }

  /** null: the policy is left out. */
  #action(): Policy['action'] | null {
    const { action } = this.#document.spec;
    switch (action) {
      case 'ALLOW':
        return 'allow';
      case 'DENY':
        return 'deny';
      case 'AUDIT':
        return this.#refuse(
          'UnsupportedAction',
          'action AUDIT is not supported: nothing is audited, access does not change',
        );
      case 'CUSTOM':
        if (this.#settings.unenforceable === 'ignore') {
          return this.#refuse(
            'UnsupportedAction',
            'action CUSTOM is not supported: nobody is asked, access does not change',
          );
        }
        this.#note(
          'UnsupportedAction',
          'action CUSTOM is not supported: what its rules name is denied, for nobody can be asked',
        );
        return 'deny';
    }
  }

  #rule(action: Policy['action'], read: ReadRule, index: number): Rule | null {
    const beyond = [...new Set(read.flat().flatMap((alternative) => alternative.beyond))];
    if (beyond.length === 0) return { clauses: read.map((clause) => clause.map(({ match }) => match)) };
    const fields = `spec.rules[${index}] asks for ${beyond.join(', ')}, which L4 cannot see`;
    if (action === 'allow') {
      this.#note('PartiallyInvalid', `${fields}: the rule never matches, so it allows nothing`);
      return null;
    }
    const ignore = this.#settings.unenforceable === 'ignore';
    const clauses = ignore ? withoutEmpty(read) : widened(read);
    if (clauses.length > 0) this.#note('PartiallyInvalid', `${fields}: the rule denies by its other fields alone`);
    else if (ignore) this.#note('PartiallyInvalid', `${fields}: the rule has no effect`);
    else this.#denyBlindly(fields);
    return clauses.length === 0 ? null : { clauses };
  }

  #denyBlindly(fields: string): void {
    this.#deniesBlindly = true;
    const message = `${fields}, and for nothing else: it denies everything, but where all traffic comes through a waypoint`;
    this.#note('PartiallyInvalid', message);
  }

  #dryRun(): boolean {
    const word = this.#document.metadata.annotations[dryRunAnnotation] ?? 'false';
    if (![...trueWords, ...falseWords].includes(word))
      this.#note(
        'Invalid',
        `the annotation ${dryRunAnnotation} is ${word}, neither true nor false: the policy is enforced`,
      );
    return trueWords.includes(word);
  }

  #scope(): Policy['scope'] {
    if (this.#selector() !== null) return 'workload-selector';
    return this.#isRoot() ? 'global' : 'namespace';
  }

  /** A selector of the root namespace reaches into all namespaces. */
  #selector(): DerivedPolicy['selector'] {
    const labels = this.#document.spec.selector?.matchLabels ?? {};
    if (Object.keys(labels).length === 0) return null;
    return { namespace: this.#isRoot() ? null : this.#document.metadata.namespace, labels };
  }

  #isRoot(): boolean {
    return this.#document.metadata.namespace === this.#settings.rootNamespace;
  }

  #reader(): Parameters<typeof readRule>[1] {
    return { settings: this.#settings, namespace: this.#document.metadata.namespace };
  }

  #refuse(reason: string, message: string): null {
    this.#note(reason, message);
    return null;
  }

  #note(reason: string, message: string): void {
    this.#conditions.push(
      condition(resourceText('AuthorizationPolicy', this.#document), conditionType, reason, message),
    );
  }
}

/** What L4 cannot see is taken as true, so the rule denies at least what it should. */
function widened(read: ReadRule): Rule['clauses'] {
  return read.filter((clause) => !clause.some(asksNothing)).map((clause) => clause.map(({ match }) => match));
}

/** As istiod does it: an alternative of which nothing is left is left out. */
function withoutEmpty(read: ReadRule): Rule['clauses'] {
  return read
    .map((clause) => clause.filter((alternative) => !asksNothing(alternative)).map(({ match }) => match))
    .filter((clause) => clause.length > 0);
}

function asksNothing({ match }: Alternative): boolean {
  return isEmptyMatch(match);
}
