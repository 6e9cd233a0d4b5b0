import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { customResourceDefinitions } from '../../../src/install/custom-resources.ts';
import { installation } from '../../../src/install/installation.ts';
import type { ManifestObject } from '../../../src/install/manifest-object.ts';
import { toTemplate } from '../../../src/install/symbolic.ts';
import { profiles, valuesSchema } from '../../../src/install/values.ts';
import type { Values } from '../../../src/install/values.ts';

interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
  readonly resourceNames?: readonly string[];
}

function objects(values: Values = valuesSchema.parse({})): readonly ManifestObject[] {
  return installation({ values, namespace: 'mesh', version: '1.2.3' });
}

function one(kind: string, name: string, from = objects()): ManifestObject {
  const found = from.filter((object) => object.kind === kind && object.metadata.name === name);
  assert.equal(found.length, 1, `${kind} ${name}`);
  return found[0] ?? assert.fail();
}

function rulesOf(kind: string, name: string): readonly Rule[] {
  return one(kind, name)['rules'] as readonly Rule[];
}

function allows(rules: readonly Rule[], verb: string, resource: string): boolean {
  return rules.some(({ resources, verbs }) => resources.includes(resource) && verbs.includes(verb));
}

/** Every key of an object, at any depth. */
function keysOf(value: unknown): readonly string[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => [key, ...keysOf(inner)]);
}

describe('an installation', () => {
  test('has each object once, the namespace and the definitions first', () => {
    const names = objects().map(({ kind, metadata }) => `${kind} ${metadata.name}`);
    assert.equal(new Set(names).size, names.length);
    assert.equal(names[0], 'Namespace mesh');
    const last = names.findLastIndex((name) => name.startsWith('CustomResourceDefinition'));
    assert.ok(names.slice(1, last + 1).every((name) => name.startsWith('CustomResourceDefinition')));
  });

  test('goes to its namespace, and names what is of the whole cluster after it', () => {
    for (const { kind, metadata } of objects()) {
      if (['Namespace', 'CustomResourceDefinition', 'MeshSettings'].includes(kind)) continue;
      assert.ok(metadata.namespace === 'mesh' || metadata.name.endsWith('-mesh'), `${kind} ${metadata.name}`);
    }
  });

  test('has every kind of its own looked at before it is stored, but the mesh’s own settings', () => {
    interface Webhook {
      readonly rules: readonly { readonly apiGroups: readonly string[]; readonly resources: readonly string[] }[];
    }
    const [validator] = one('ValidatingWebhookConfiguration', 'ambit-validator-mesh')['webhooks'] as readonly Webhook[];
    const looked = validator?.rules.flatMap(({ apiGroups: [group], resources }) =>
      resources.map((resource) => `${resource}.${group ?? ''}`),
    );
    const defined = customResourceDefinitions().map(({ metadata }) => metadata.name);
    assert.deepEqual(looked?.toSorted(), defined.filter((name) => name !== 'meshsettings.ambit.dev').toSorted());
  });

  test('leaves out what is not asked for', () => {
    const kinds = (values: Values): readonly string[] => objects(values).map(({ kind }) => kind);
    assert.ok(!kinds(valuesSchema.parse({})).includes('PeerAuthentication'));
    assert.ok(!kinds(valuesSchema.parse({})).includes('NetworkPolicy'));
    const all = kinds(valuesSchema.parse({ strict: true, networkPolicy: { enabled: true } }));
    assert.ok(all.includes('PeerAuthentication') && all.includes('NetworkPolicy'));
  });

  test('refuses values that it does not know', () => {
    assert.throws(() => valuesSchema.parse({ agent: { logLevle: 'info' } }), /logLevle/);
    assert.throws(() => valuesSchema.parse({ mesh: { trustDomain: 'A_B/c' } }), /trustDomain/);
  });

  for (const [name, values] of Object.entries(profiles)) {
    test(`the profile ${name} is valid`, () => {
      valuesSchema.parse(values);
    });
  }
});

describe('rights', () => {
  const agent = rulesOf('ClusterRole', 'ztunnel-mesh');
  const control = [...rulesOf('ClusterRole', 'istiod-mesh'), ...rulesOf('Role', 'istiod')];

  test('an agent reads no Secret, and writes no pod but its status', () => {
    for (const verb of ['get', 'list', 'watch']) assert.ok(!allows(agent, verb, 'secrets'));
    for (const verb of ['update', 'patch', 'delete', 'create']) assert.ok(!allows(agent, verb, 'pods'));
    assert.ok(allows(agent, 'patch', 'pods/status'));
  });

  test('the control plane reads Secrets by name only, in its own namespace, and not the key of the root', () => {
    assert.ok(!rulesOf('ClusterRole', 'istiod-mesh').some(({ resources }) => resources.includes('secrets')));
    const reading = control.filter(({ resources, verbs }) => resources.includes('secrets') && verbs.includes('get'));
    assert.deepEqual(
      reading.map(({ resourceNames }) => resourceNames),
      [['cacerts', 'istio-ca-secret']],
    );
  });

  test('the control plane reads every Secret only where that is asked for', () => {
    const name = 'istiod-gateway-secrets-mesh';
    const found = (values: object) =>
      objects(valuesSchema.parse(values)).filter(({ metadata }) => metadata.name === name);
    assert.deepEqual(found({}), []);
    const [role, binding] = found({ gateways: { secrets: 'all' } });
    assert.equal(binding?.kind, 'ClusterRoleBinding');
    assert.deepEqual(role?.['rules'], [
      { apiGroups: [''], resources: ['secrets', 'configmaps'], verbs: ['get', 'list', 'watch'] },
    ]);
  });

  test('nothing is a wildcard, and nobody may give out rights', () => {
    for (const { apiGroups, resources, verbs } of [...agent, ...control]) {
      assert.ok(![...apiGroups, ...resources, ...verbs].some((text) => text.includes('*')));
      assert.ok(!verbs.some((verb) => ['bind', 'escalate', 'impersonate'].includes(verb)));
    }
  });
});

describe('pods of the mesh itself', () => {
  const specOf = (object: ManifestObject) =>
    (object['spec'] as { readonly template: { readonly spec: Readonly<Record<string, unknown>> } }).template.spec;

  test('the control plane has no rights on its node', () => {
    const spec = specOf(one('Deployment', 'istiod'));
    const [container] = spec['containers'] as readonly { readonly securityContext: object }[];
    assert.deepEqual(container?.securityContext, {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    });
    assert.ok(!keysOf(spec).includes('hostPath'));
  });

  test('the agent is not privileged, and in none of the namespaces of its node', () => {
    const spec = specOf(one('DaemonSet', 'ztunnel'));
    const [container] = spec['containers'] as readonly {
      readonly securityContext: Readonly<Record<string, unknown>>;
    }[];
    assert.equal(container?.securityContext['privileged'], false);
    for (const key of ['hostNetwork', 'hostPID', 'hostIPC']) assert.ok(!keysOf(spec).includes(key));
  });

  test('its image is that of this version, unless another is asked for', () => {
    const image = (values: Values): unknown =>
      (specOf(one('DaemonSet', 'ztunnel', objects(values)))['containers'] as readonly { image: string }[])[0]?.image;
    assert.equal(image(valuesSchema.parse({})), 'ambit/ambit:1.2.3');
    assert.equal(image(valuesSchema.parse({ image: { repository: 'own/mesh', tag: 'x' } })), 'own/mesh:x');
  });
});

describe('definitions of custom resources', () => {
  for (const definition of customResourceDefinitions()) {
    test(`${definition.metadata.name} is structural, and cuts no field off`, () => {
      const keys = keysOf(definition['spec']);
      for (const forbidden of ['$ref', '$schema', 'anyOf', 'oneOf', 'allOf', 'definitions']) {
        assert.ok(!keys.includes(forbidden), forbidden);
      }
      assert.ok(!JSON.stringify(definition).includes('"additionalProperties":false'));
    });
  }
});

test('placeholders become expressions of Helm', () => {
  assert.equal(
    toTemplate('a: ⟦.Values.x⟧\n- ⟦.Values.x.y | join ","⟧\nb: "p:⟦.Values.z⟧"\n'),
    ['a: {{ .Values.x | toJson }}', '- {{ .Values.x.y | join "," | toJson }}', 'b: "p:{{ .Values.z }}"', ''].join('\n'),
  );
});
