import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseManifests } from '../../../src/config/manifests/parse.ts';
import { formatProblem } from '../../../src/config/manifests/resources.ts';

function parse(text: string): { keys: string[]; bad: string[]; messages: string[]; complete: boolean } {
  const { documents, problems, complete } = parseManifests('m.yaml', text);
  return {
    keys: documents.filter(({ resource }) => resource !== null).map(({ key }) => key),
    bad: documents.filter(({ resource }) => resource === null).map(({ key }) => key),
    messages: [...problems, ...documents.flatMap((document) => document.problems)].map(
      (problem) => `${problem.severity} ${formatProblem(problem)}`,
    ),
    complete,
  };
}

function policy(spec: string): string {
  return `apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p}\nspec:\n${spec.replace(/^/gm, '  ')}\n`;
}

function refusal(spec: string): string {
  const { bad, messages } = parse(policy(spec));
  assert.deepEqual(bad, ['AuthorizationPolicy/default/p']);
  return messages.join('\n');
}

void describe('a manifest file', () => {
  test('may hold several documents, empty ones and comments', () => {
    const { keys, messages } = parse(
      '# first\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n---\n---\n# none\n---\n{apiVersion: v1, kind: Node, metadata: {name: n}}\n',
    );
    assert.deepEqual(keys, ['Namespace/a', 'Node/n']);
    assert.deepEqual(messages, []);
  });

  test('may be JSON', () => {
    const { keys } = parse('{\n\t"apiVersion": "v1", "kind": "Pod",\n\t"metadata": {"name": "a", "namespace": "b"}\n}');
    assert.deepEqual(keys, ['Pod/b/a']);
  });

  test('may hold lists, whose items have their own places', () => {
    const { keys, messages } = parse(
      'apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Pod, metadata: {name: a}}\n- apiVersion: v1\n  kind: Pod\n  metadata:\n    name: A\n',
    );
    assert.deepEqual(keys, ['Pod/default/a']);
    assert.match(messages[0] ?? '', /^error m\.yaml:8: Pod default\/A: metadata\.name: must be a name of lower-case/);
  });

  test('keeps its good documents beside one that is no YAML', () => {
    const { keys, messages, complete } = parse(
      'apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n---\nkind: [\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: b}\n',
    );
    assert.deepEqual(keys, ['Namespace/a', 'Namespace/b']);
    assert.equal(complete, false);
    assert.match(messages[0] ?? '', /^error m\.yaml:\d: is no valid YAML/);
  });

  test('with a key twice in a map is no YAML to rely on', () => {
    const { keys, complete } = parse(policy('action: DENY\naction: ALLOW'));
    assert.deepEqual([keys, complete], [[], false]);
  });

  test('that says not what it is cannot be told from a deleted one', () => {
    for (const text of [
      'a: 1',
      '- 1',
      'just text',
      'kind: Pod',
      'apiVersion: v1\nkind: Pod',
      'kind: 1\napiVersion: v1',
    ]) {
      const { complete, messages } = parse(text);
      assert.equal(complete, false, text);
      assert.equal(messages.length, 1, text);
    }
  });

  test('with an alias bomb is refused', () => {
    const levels = Array.from({ length: 12 }, (_, index) =>
      index === 0
        ? 'a0: &a0 [x, x]'
        : `a${index}: &a${index} [${Array(9)
            .fill(`*a${index - 1}`)
            .join(', ')}]`,
    );
    const { complete, messages } = parse(levels.join('\n'));
    assert.equal(complete, false);
    assert.match(messages[0] ?? '', /alias/i);
  });

  test('nested beyond all measure is refused', () => {
    const { complete, messages } = parse(`a: ${'['.repeat(200_000)}`);
    assert.equal(complete, false);
    assert.ok(messages.length > 0);
  });
});

void describe('a ServiceEntry', () => {
  const refusalOf = (spec: string, kind = 'ServiceEntry') => {
    const text = `apiVersion: networking.istio.io/v1\nkind: ${kind}\nmetadata: {name: e}\nspec: ${spec}\n`;
    const { bad, messages } = parse(text);
    assert.deepEqual(bad, [`${kind}/default/e`]);
    return messages.join('\n');
  };
  for (const [spec, expected] of [
    ['{}', /spec\.hosts: must be a list of DNS names/],
    ['{hosts: []}', /spec\.hosts: must name at least one host/],
    ['{hosts: ["a b"]}', /spec\.hosts\[0\]: must be a DNS name/],
    ['{hosts: ["a.*.com"]}', /spec\.hosts\[0\]: must be a DNS name/],
    ['{hosts: [a.com], addresses: [a.com]}', /spec\.addresses\[0\]: must be an IPv4 or IPv6 address/],
    ['{hosts: [a.com], ports: [{number: 70000}]}', /spec\.ports\[0\]\.number: must be a port number/],
    ['{hosts: [a.com], resolution: MAYBE}', /spec\.resolution: must be one of NONE, STATIC/],
    ['{hosts: [a.com], host: b.com}', /spec\.host: is not a field here/],
    ['{hosts: [a.com], endpoints: [{}], workloadSelector: {}}', /spec\.endpoints: cannot stand beside/],
    ['{hosts: [a.com], endpoints: [{weight: -1}]}', /spec\.endpoints\[0\]\.weight: must be a whole number/],
    ['{hosts: [a.com], endpoints: [{ports: {http: 0}}]}', /spec\.endpoints\[0\]\.ports\.http: must be a port number/],
  ] as const) {
    test(`with spec ${spec} is refused with its place`, () => {
      assert.match(refusalOf(spec), expected);
    });
  }

  test('has the form of a WorkloadEntry in its endpoints, which is as strict', () => {
    assert.match(
      refusalOf('{adress: 10.0.0.1}', 'WorkloadEntry'),
      /spec\.adress: is not a field here; allowed are address/,
    );
    assert.match(refusalOf('{template: {port: {}}}', 'WorkloadGroup'), /spec\.template\.port: is not a field here/);
  });

  test('in a version that is not known is an error', () => {
    const { messages } = parse('apiVersion: networking.istio.io/v3\nkind: ServiceEntry\nmetadata: {name: a}\n');
    assert.match(messages.join(), /^error m\.yaml:1: apiVersion: ServiceEntry must be of networking\.istio\.io\/v1 or/);
  });
});

void describe('kinds', () => {
  test('of the mesh that have no effect are known as such', () => {
    const { documents, problems } = parseManifests(
      'm.yaml',
      'apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: a}\nspec: {anything: [1]}\n',
    );
    assert.equal(documents[0]?.resource?.kind, 'UnsupportedKind');
    assert.deepEqual(problems, []);
  });

  test('that are not used give a warning', () => {
    const { messages, complete } = parse('apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\n');
    assert.deepEqual(messages, ['warning m.yaml:2: Deployment of apps/v1 is not used here: it has no effect']);
    assert.equal(complete, true);
  });

  test('of security in a version that is not known are an error', () => {
    const { messages } = parse('apiVersion: security.istio.io/v2\nkind: AuthorizationPolicy\nmetadata: {name: a}\n');
    assert.deepEqual(messages, [
      'error m.yaml:1: apiVersion: AuthorizationPolicy must be of security.istio.io/v1 or security.istio.io/v1beta1',
    ]);
  });

  test('of another group with a name that we know are theirs', () => {
    const { messages } = parse('apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: a}\n');
    assert.match(messages[0] ?? '', /^warning/);
  });

  for (const [apiVersion, kind] of [
    ['cilium.io/v2', 'CiliumNetworkPolicy'],
    ['cilium.io/v2', 'CiliumClusterwideNetworkPolicy'],
    ['crd.projectcalico.org/v1', 'NetworkPolicy'],
    ['projectcalico.org/v3', 'GlobalNetworkPolicy'],
    ['policy.networking.k8s.io/v1alpha1', 'AdminNetworkPolicy'],
    ['policy.networking.k8s.io/v1alpha1', 'BaselineAdminNetworkPolicy'],
  ] as const) {
    test(`${kind} of ${apiVersion} is a network policy that only the CNI reads`, () => {
      const { documents } = parseManifests(
        'm.yaml',
        `apiVersion: ${apiVersion}\nkind: ${kind}\nmetadata: {name: Any.name}\n`,
      );
      assert.equal(documents[0]?.resource?.kind, 'ForeignNetworkPolicy');
    });
  }

  test('of one name in two versions are one resource', () => {
    const at = (version: string) =>
      `apiVersion: security.istio.io/${version}\nkind: PeerAuthentication\nmetadata: {name: a}\n`;
    const { keys } = parse(`${at('v1')}---\n${at('v1beta1')}`);
    assert.deepEqual(keys, ['PeerAuthentication/default/a', 'PeerAuthentication/default/a']);
  });
});

void describe('a pod', () => {
  test('as kubectl prints it is read', () => {
    const { documents } = parseManifests(
      'm.yaml',
      [
        'apiVersion: v1',
        'kind: Pod',
        'metadata:',
        '  creationTimestamp: null',
        '  managedFields: [{manager: kubelet}]',
        '  name: a',
        '  labels: null',
        '  uid: 6f9b2c1e-0000-4000-8000-000000000001',
        'spec:',
        '  schedulerName: default-scheduler',
        '  tolerations: []',
        '  containers:',
        '  - {name: c, image: x, resources: {}, ports: [{containerPort: 80, name: http}]}',
        'status: {phase: Running, podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}, {ip: "FD00:0::1"}], qosClass: BestEffort}',
      ].join('\n'),
    );
    const [document] = documents;
    assert.ok(document?.resource?.kind === 'Pod');
    const { status, spec } = document.resource.document;
    assert.deepEqual(status.addresses, ['10.0.0.1', 'fd00::1']);
    assert.equal(spec.serviceAccountName, 'default');
  });

  test('may not carry a uid that a path would understand', () => {
    const { bad, messages } = parse('apiVersion: v1\nkind: Pod\nmetadata: {name: a, uid: ../../etc}\n');
    assert.deepEqual(bad, ['Pod/default/a']);
    assert.match(messages[0] ?? '', /metadata\.uid: must be letters, digits/);
  });

  test('with an address that is none is refused at its line', () => {
    const { messages } = parse(
      'apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nstatus:\n  podIPs:\n  - ip: 10.0.0.300\n',
    );
    assert.deepEqual(messages, ['error m.yaml:6: Pod default/a: status.podIPs[0].ip: must be an IPv4 or IPv6 address']);
  });
});

void describe('an AuthorizationPolicy', () => {
  for (const spec of [
    '{}',
    'rules: [{}]',
    'rules: []',
    'action: DENY\nrules:\n- from: [{source: {principals: ["*"], notPrincipals: ["cluster.local/ns/a/*"]}}]',
    'rules:\n- from: [{source: {serviceAccounts: [web, shop/web]}}]\n  to: [{operation: {ports: ["80"]}}]',
    'rules:\n- when: [{key: source.ip, values: [10.0.0.0/8]}, {key: "request.headers[x-a]", notValues: ["*"]}]',
    'targetRefs: [{group: "", kind: Service, name: a}]',
    'selector: {matchLabels: {app: web}}\naction: CUSTOM\nprovider: {name: x}\nrules: [{to: [{operation: {paths: [/a/*]}}]}]',
  ]) {
    test(`may say ${spec.replaceAll('\n', '; ')}`, () => {
      assert.deepEqual(parse(policy(spec)).messages, []);
    });
  }

  const refused: readonly [string, RegExp][] = [
    ['acton: DENY', /m\.yaml:5: .*spec\.acton: is not a field here; allowed are selector, .*action/],
    ['action: Deny', /spec\.action: must be one of ALLOW, DENY, AUDIT, CUSTOM/],
    ['rules:\n- form: []', /spec\.rules\[0\]\.form: is not a field here; allowed are from, to, when/],
    ['rules:\n- from: []', /spec\.rules\[0\]\.from: must have at least one entry/],
    ['rules:\n- from: [{}]', /spec\.rules\[0\]\.from\[0\]\.source/],
    ['rules:\n- from: [{source: {}}]', /source: must name at least one field/],
    ['rules:\n- from: [{source: {principals: []}}]', /principals: must have at least one entry/],
    ['rules:\n- from: [{source: {principal: [a]}}]', /principal: is not a field here/],
    ['rules:\n- from: [{source: {principals: ["spiffe://cluster.local/ns/a/sa/b"]}}]', /without spiffe:\/\//],
    ['rules:\n- from: [{source: {principals: ["a*b"]}}]', /`\*` only as its first or its last/],
    ['rules:\n- from: [{source: {principals: ["*a*"]}}]', /`\*` only as its first or its last/],
    ['rules:\n- from: [{source: {namespaces: [""]}}]', /must be a text that is not empty/],
    [
      'rules:\n- from: [{source: {ipBlocks: [10.0.0.0/8, 10.0.0/8]}}]',
      /ipBlocks\[1\]: must be an address or a CIDR block/,
    ],
    ['rules:\n- from: [{source: {notIpBlocks: [10.0.0.0/33]}}]', /notIpBlocks\[0\]/],
    [
      'rules:\n- from: [{source: {serviceAccounts: ["a/*"]}}]',
      /serviceAccounts\[0\]: must be `namespace\/serviceaccount`/,
    ],
    ['rules:\n- from: [{source: {serviceAccounts: [a], namespaces: [b]}}]', /cannot stand beside/],
    ['rules:\n- to: [{operation: {ports: [80]}}]', /ports\[0\]: must be a text/],
    ['rules:\n- to: [{operation: {ports: ["0"]}}]', /ports\[0\]: must be a port number in quotes/],
    ['rules:\n- to: [{operation: {ports: ["65536"]}}]', /ports\[0\]: must be a port number in quotes/],
    ['rules:\n- to: [{operation: {}}]', /operation: must name at least one field/],
    ['rules:\n- when: [{key: source.ip}]', /when\[0\]: needs values or notValues/],
    ['rules:\n- when: [{key: source.port, values: ["1"]}]', /when\[0\]\.key: must be one of source\.ip/],
    ['rules:\n- when: [{key: source.ip, values: [x]}]', /when\[0\]\.values\[0\]: must be an address/],
    ['rules:\n- when: [{key: destination.port, notValues: [http]}]', /notValues\[0\]: must be a port number/],
    ['rules:\n- when: [{key: source.principal, values: ["spiffe://a"]}]', /without spiffe/],
    ['selector: {matchLabel: {a: b}}', /selector\.matchLabel: is not a field here; allowed are matchLabels/],
    ['selector: {matchLabels: {a: 1}}', /matchLabels\.a: must be a text/],
    [
      'selector: {matchLabels: {a: b}}\ntargetRefs: [{kind: Service, name: a}]',
      /selector: cannot stand beside targetRef/,
    ],
  ];
  for (const [spec, expected] of refused) {
    test(`may not say ${spec.replaceAll('\n', '; ')}`, () => {
      assert.match(refusal(spec), expected);
    });
  }
});

void describe('a PeerAuthentication', () => {
  const text = (spec: string) =>
    `apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: p}\nspec: ${spec}\n`;

  for (const spec of [
    '{}',
    '{mtls: {mode: STRICT}}',
    '{mtls: {}}',
    '{selector: {matchLabels: {a: b}}, portLevelMtls: {8080: {mode: DISABLE}}}',
  ]) {
    test(`may say ${spec}`, () => {
      assert.deepEqual(parse(text(spec)).messages, []);
    });
  }

  for (const [spec, expected] of [
    ['{mtls: {mode: strict}}', /mode: must be one of UNSET, DISABLE, PERMISSIVE, STRICT/],
    ['{mtls: STRICT}', /spec\.mtls/],
    ['{mTLS: {mode: STRICT}}', /mTLS: is not a field here; allowed are selector, mtls, portLevelMtls/],
    ['{portLevelMtls: {8080: {mode: STRICT}}}', /portLevelMtls: needs spec\.selector\.matchLabels/],
    [
      '{selector: {matchLabels: {a: b}}, portLevelMtls: {http: {mode: STRICT}}}',
      /portLevelMtls\.http: must be a port number/,
    ],
  ] as const) {
    test(`may not say ${spec}`, () => {
      assert.match(parse(text(spec)).messages.join('\n'), expected);
    });
  }
});

void describe('MeshSettings', () => {
  const text = (spec: string) =>
    `apiVersion: ambit.dev/v1alpha1\nkind: MeshSettings\nmetadata: {name: any}\nspec: ${spec}\n`;

  test('have defaults', () => {
    const [document] = parseManifests('m.yaml', text('{}')).documents;
    assert.ok(document?.resource?.kind === 'MeshSettings');
    assert.equal(document.resource.document.spec.trustDomain, 'cluster.local');
    assert.equal(document.resource.document.spec.rootNamespace, 'istio-system');
    assert.equal(document.resource.document.spec.sameNode, 'auto');
    assert.equal(document.resource.document.spec.unenforceable, 'deny');
  });

  for (const [spec, expected] of [
    ['{sameNode: always}', /sameNode: must be one of auto, local, tls/],
    ['{unenforcable: ignore}', /unenforcable: is not a field here/],
    ['{trustDomain: Corp}', /trustDomain: must be a SPIFFE trust domain/],
    ['{clusterId: a/b}', /clusterId: must be letters/],
  ] as const) {
    test(`may not say ${spec}`, () => {
      assert.match(parse(text(spec)).messages.join('\n'), expected);
    });
  }
});
