import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';

import { root } from '../../support/paths.ts';
import { ApiCaller } from '../harness/api-caller.ts';
import type { Verb } from '../harness/api-caller.ts';
import { Cluster } from '../harness/cluster.ts';
import { forgedObjects } from '../harness/forged-objects.ts';
import { InstalledMesh } from '../harness/mesh.ts';
import { TestNamespace } from '../harness/namespace.ts';
import type { Pod } from '../harness/objects.ts';
import { serviceAccount } from '../harness/policies.ts';
import { clusterSuite } from '../harness/suite.ts';
import { clientPod } from '../harness/workloads.ts';

const system = 'istio-system';
const joined = { 'istio.io/dataplane-mode': 'ambient' };
const forbidden = 403;

type Attempt = readonly [what: string, verb: Verb, path: string, body?: object];

/** With the tokens that the mesh's own parts have, as a thief would use them. */
clusterSuite('rights of the mesh’s parts in a cluster', () => {
  let cluster: Cluster;
  let mesh: InstalledMesh;
  let shop: TestNamespace;
  let agent: Pod;
  let control: Pod;
  let folder: string;

  before(async () => {
    cluster = await Cluster.attach();
    mesh = await InstalledMesh.ensure(cluster);
    shop = await TestNamespace.create(cluster, 'rights', joined);
    await shop.apply(
      serviceAccount('here'),
      serviceAccount('there'),
      serviceAccount('hosted'),
      serviceAccount('plain'),
    );
    await shop.start(
      clientPod('here', { node: 1, serviceAccount: 'here' }),
      clientPod('there', { node: 2, serviceAccount: 'there' }),
      clientPod('hosted', { node: 1, serviceAccount: 'hosted', spec: { hostNetwork: true } }),
      clientPod('plain', { node: 1, serviceAccount: 'plain', labels: { 'istio.io/dataplane-mode': 'none' } }),
    );
    agent = await mesh.agentOn(1);
    control = await mesh.controlPod();
    folder = await mkdtemp(join(tmpdir(), 'ambit-rights-'));
  });

  after(async () => {
    await shop.remove();
    await rm(folder, { recursive: true, force: true });
  });

  /** A token of a service account, bound to its pod as the projected ones are. */
  const token = async (account: string, pod: Pod | null, audience: string | null): Promise<string> => {
    const namespace = pod?.metadata.namespace ?? system;
    const bound = pod === null ? [] : ['--bound-object-kind', 'Pod', '--bound-object-name', pod.metadata.name];
    const forWhom = audience === null ? [] : ['--audience', audience];
    const words = ['create', 'token', account, '--namespace', namespace, '--duration', '10m', ...bound, ...forWhom];
    return (await cluster.kubectl(words)).trim();
  };

  describe('an agent’s token at the API server', () => {
    let caller: ApiCaller;
    before(async () => {
      caller = await ApiCaller.create(cluster, await token('ztunnel', agent, null));
    });

    it('is good for what an agent does', async () => {
      const pod = `/api/v1/namespaces/${shop.name}/pods/here`;
      assert.deepEqual(
        [
          await caller.status('GET', '/api/v1/pods?fieldSelector=spec.nodeName%3Dnode-1'),
          await caller.status('GET', '/api/v1/namespaces?limit=1'),
          await caller.status('GET', `/apis/apps/v1/namespaces/${system}/daemonsets/ztunnel`),
          await caller.status('PATCH', `${pod}/status`, annotated),
        ],
        [200, 200, 200, 200],
      );
    });

    it('is good for nothing else', async () => {
      await refuses(caller, [...nobodyMay(shop.name), ...agentsMayNot(shop.name)]);
    });

    it('does not change pods of other nodes, nor anything but the own annotation', async () => {
      const status = (pod: string): string => `/api/v1/namespaces/${shop.name}/pods/${pod}/status`;
      await refuses(caller, [
        ['mark a pod of another node', 'PATCH', status('there'), annotated],
        [
          'give a pod another address',
          'PATCH',
          status('here'),
          { status: { podIP: '10.9.9.9', podIPs: [{ ip: '10.9.9.9' }] } },
        ],
        ['give a pod a label', 'PATCH', status('here'), { metadata: { labels: { app: 'there' } } }],
        ['give a pod another annotation', 'PATCH', status('here'), { metadata: { annotations: { other: 'yes' } } }],
      ]);
    });

    it('changes no pod if it is bound to none', async () => {
      const unbound = await ApiCaller.create(cluster, await token('ztunnel', null, null));
      const path = `/api/v1/namespaces/${shop.name}/pods/here/status`;
      assert.equal(await unbound.status('PATCH', path, annotated), forbidden);
    });
  });

  describe('the control plane’s token at the API server', () => {
    let caller: ApiCaller;
    before(async () => {
      caller = await ApiCaller.create(cluster, await token('istiod', control, null));
    });

    it('is good for what the control plane does', async () => {
      const rootName = 'fieldSelector=metadata.name%3Distio-ca-root-cert';
      assert.deepEqual(
        [
          await caller.status('GET', '/api/v1/services?limit=1'),
          await caller.status('GET', `/api/v1/configmaps?${rootName}`),
          await caller.status('GET', `/api/v1/namespaces/${system}/secrets/istio-ca-secret`),
          await caller.status('GET', `/apis/coordination.k8s.io/v1/namespaces/${system}/leases/ambit-leader`),
        ],
        [200, 200, 200, 200],
      );
    });

    it('is good for nothing else', async () => {
      await refuses(caller, [...nobodyMay(shop.name), ...controlMayNot(shop.name)]);
    });
  });

  describe('a certificate', () => {
    it('is given to an agent for a pod of its node', async () => {
      const answer = await ask(await token('ztunnel', agent, 'istio-ca'), idOf('here'));
      assert.deepEqual(answer, { issued: true, code: null, message: null });
    });

    for (const [whose, name] of [
      ['a pod of another node', 'there'],
      ['a pod in the network of the node', 'hosted'],
      ['a pod outside of the mesh', 'plain'],
      ['nobody', 'nobody'],
    ] as const) {
      it(`is not given to an agent for ${whose}`, async () => {
        const { issued, message } = await ask(await token('ztunnel', agent, 'istio-ca'), idOf(name));
        assert.equal(issued, false);
        assert.match(message ?? '', /no pod of the mesh that runs on node node-1/);
      });
    }

    it('is not given for a token that is bound to no pod, nor for one of another audience', async () => {
      for (const text of [await token('ztunnel', null, 'istio-ca'), await token('ztunnel', agent, null), 'nonsense'])
        assert.equal((await ask(text, idOf('here'))).issued, false);
    });

    it('is given to a pod that asks itself for its own identity only', async () => {
      const own = await token('here', await shop.get<Pod>(['pod', 'here']), 'istio-ca');
      assert.equal((await ask(own, idOf('here'))).issued, true);
      assert.equal((await ask(own, idOf('there'))).issued, false);
    });

    it('is not given to an agent whose pod is gone', async () => {
      const before = (await mesh.agentOn(2)).metadata;
      const stolen = await token('ztunnel', await mesh.agentOn(2), 'istio-ca');
      assert.equal((await ask(stolen, idOf('there'))).issued, true);
      await mesh.kubectl(['delete', 'pod', before.name, '--wait']);
      await mesh.kubectl(['rollout', 'status', 'daemonset', 'ztunnel', '--timeout', '60s']);
      // A review of a token is remembered for 10 s.
      await cluster.until('the refusal', async () => !(await ask(stolen, idOf('there'))).issued);
    });

    const idOf = (account: string): string => `spiffe://cluster.local/ns/${shop.name}/sa/${account}`;

    /** As an agent would, from outside the cluster. */
    async function ask(text: string, spiffeId: string): Promise<Answer> {
      const [tokenFile, rootFile] = [join(folder, 'token'), join(folder, 'root-cert.pem')];
      await writeFile(tokenFile, text);
      const roots = ['get', 'configmap', 'istio-ca-root-cert', '--output', 'jsonpath={.data.root-cert\\.pem}'];
      await writeFile(rootFile, await mesh.kubectl(roots));
      const target = `${control.status.podIP ?? ''}:15012`;
      const serverName = `istiod.${system}.svc`;
      const order = { endpoint: { target, tls: true }, serverName, tokenFile, rootFile, spiffeId };
      const asker = ['node', `${root}dist/test/support/certificate-asker.js`];
      return JSON.parse((await cluster.outside(asker, { input: JSON.stringify(order) })).stdout) as Answer;
    }
  });

  describe('what runs', () => {
    it('as the control plane is nobody’s root, without capabilities, filtered, on files that it cannot change', async () => {
      const state = await processOf(mesh, control);
      assert.deepEqual(state, { user: '1337', capabilities: [], seccomp: 'filter', noNewPrivileges: true });
      await assertReadOnly(mesh, control);
    });

    it('as an agent has the named capabilities, is filtered, on files that it cannot change', async () => {
      const { user, capabilities, seccomp } = await processOf(mesh, await mesh.agentOn(1));
      const named = ['DAC_OVERRIDE', 'NET_ADMIN', 'NET_BIND_SERVICE', 'SYS_ADMIN', 'SYS_PTRACE'];
      assert.deepEqual({ user, capabilities, seccomp }, { user: '0', capabilities: named, seccomp: 'filter' });
      await assertReadOnly(mesh, await mesh.agentOn(1));
    });
  });
});

const annotated = { metadata: { annotations: { 'ambient.istio.io/redirection': 'enabled' } } };

interface Answer {
  readonly issued: boolean;
  readonly code: string | null;
  readonly message: string | null;
}

async function refuses(caller: ApiCaller, attempts: readonly Attempt[]): Promise<void> {
  const results = await Promise.all(
    attempts.map(async ([what, verb, path, body]) => [what, await caller.status(verb, path, body ?? null)] as const),
  );
  assert.deepEqual(
    results.filter(([, status]) => status !== forbidden),
    [],
  );
}

function nobodyMay(namespace: string): readonly Attempt[] {
  const pod = `/api/v1/namespaces/${namespace}/pods/here`;
  const labelled = { metadata: { labels: { app: 'other' } } };
  const image = { spec: { containers: [{ name: 'main', image: 'other' }] } };
  const binding = { metadata: { name: 'mine' }, roleRef: { kind: 'ClusterRole', name: 'cluster-admin' }, subjects: [] };
  return [
    ['list all Secrets', 'GET', '/api/v1/secrets'],
    ['list Secrets of its own namespace', 'GET', `/api/v1/namespaces/${system}/secrets`],
    ['read the key of the root', 'GET', `/api/v1/namespaces/${system}/secrets/ambit-ca-root-key`],
    ['read a Secret elsewhere', 'GET', `/api/v1/namespaces/${namespace}/secrets/any`],
    ['list all ConfigMaps', 'GET', '/api/v1/configmaps'],
    ['watch all ConfigMaps', 'GET', '/api/v1/configmaps?watch=true'],
    ['list another ConfigMap', 'GET', '/api/v1/configmaps?fieldSelector=metadata.name%3Dkube-root-ca.crt'],
    ['create a pod', 'POST', `/api/v1/namespaces/${namespace}/pods`, podObject],
    ['change what a pod runs', 'PATCH', pod, image],
    ['change the labels of a pod', 'PATCH', pod, labelled],
    ['delete a pod', 'DELETE', pod],
    ['run a command in a pod', 'POST', `${pod}/exec?command=id&stdout=true`],
    ['change a node', 'PATCH', '/api/v1/nodes/node-2', labelled],
    ['change a namespace', 'PATCH', `/api/v1/namespaces/${namespace}`, labelled],
    ['change a DaemonSet', 'PATCH', `/apis/apps/v1/namespaces/${system}/daemonsets/ztunnel`, labelled],
    ['make a token', 'POST', `/api/v1/namespaces/${namespace}/serviceaccounts/here/token`, tokenRequest],
    ['bind a role', 'POST', '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings', clusterBinding(binding)],
    ['change a policy', 'POST', `/apis/security.istio.io/v1/namespaces/${namespace}/authorizationpolicies`, openPolicy],
  ];
}

function agentsMayNot(namespace: string): readonly Attempt[] {
  return [
    ['read the key of the CA', 'GET', `/api/v1/namespaces/${system}/secrets/istio-ca-secret`],
    ['create a Secret', 'POST', `/api/v1/namespaces/${system}/secrets`, named('v1', 'Secret')],
    ['create a ConfigMap', 'POST', `/api/v1/namespaces/${namespace}/configmaps`, named('v1', 'ConfigMap')],
    ['review a token', 'POST', '/apis/authentication.k8s.io/v1/tokenreviews', review],
    ['list Services', 'GET', '/api/v1/services'],
    ['list nodes', 'GET', '/api/v1/nodes'],
    ['list policies', 'GET', '/apis/security.istio.io/v1/authorizationpolicies'],
    ['take the leader’s lease', 'GET', `/apis/coordination.k8s.io/v1/namespaces/${system}/leases/ambit-leader`],
    ['change the status of a node', 'PATCH', '/api/v1/nodes/node-2/status', annotated],
    ['look at another DaemonSet', 'GET', `/apis/apps/v1/namespaces/${namespace}/daemonsets/ztunnel`],
  ];
}

function controlMayNot(namespace: string): readonly Attempt[] {
  const pod = `/api/v1/namespaces/${namespace}/pods/here`;
  const admission = '/apis/admissionregistration.k8s.io/v1';
  return [
    ['replace the key of the CA', 'PATCH', `/api/v1/namespaces/${system}/secrets/istio-ca-secret`, { data: {} }],
    ['delete the key of the CA', 'DELETE', `/api/v1/namespaces/${system}/secrets/istio-ca-secret`],
    ['create a Secret elsewhere', 'POST', `/api/v1/namespaces/${namespace}/secrets`, named('v1', 'Secret')],
    ['read another ConfigMap', 'GET', `/api/v1/namespaces/kube-system/configmaps/coredns`],
    ['change another ConfigMap', 'PATCH', `/api/v1/namespaces/kube-system/configmaps/coredns`, { data: {} }],
    ['change the status of a pod', 'PATCH', `${pod}/status`, annotated],
    ['see other webhooks', 'GET', `${admission}/validatingwebhookconfigurations`],
    ['change other webhooks', 'PATCH', `${admission}/validatingwebhookconfigurations/any`, annotated],
    ['make webhooks that change objects', 'POST', `${admission}/mutatingwebhookconfigurations`, mutating],
    [
      'change a policy',
      'PATCH',
      `/apis/security.istio.io/v1/namespaces/${namespace}/authorizationpolicies/a`,
      annotated,
    ],
    ['take another lease', 'GET', '/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/kube-scheduler'],
    ['change a Service', 'PATCH', '/api/v1/namespaces/default/services/kubernetes', annotated],
    ...forgedObjects(namespace).map(([what, path, body]): Attempt => [`make ${what}`, 'POST', path, body]),
  ];
}

const podObject = {
  ...named('v1', 'Pod'),
  spec: { containers: [{ name: 'main', image: 'any' }] },
};
const tokenRequest = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: {} };
const review = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', spec: { token: 'any' } };
const openPolicy = { ...named('security.istio.io/v1', 'AuthorizationPolicy'), spec: { rules: [{}] } };
const mutating = { ...named('admissionregistration.k8s.io/v1', 'MutatingWebhookConfiguration'), webhooks: [] };

function named(apiVersion: string, kind: string): object {
  return { apiVersion, kind, metadata: { name: 'stolen' } };
}

function clusterBinding(content: object): object {
  return { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'ClusterRoleBinding', ...content };
}

interface ProcessState {
  readonly user: string;
  readonly capabilities: readonly string[];
  readonly seccomp: string;
  readonly noNewPrivileges: boolean;
}

/** Bits of linux/capability.h that are looked for; others are told by their number. */
const capabilityNames: Readonly<Record<number, string>> = {
  1: 'DAC_OVERRIDE',
  10: 'NET_BIND_SERVICE',
  12: 'NET_ADMIN',
  19: 'SYS_PTRACE',
  21: 'SYS_ADMIN',
};

/** What the kernel says of a container's first process. */
async function processOf(mesh: InstalledMesh, { metadata }: Pod): Promise<ProcessState> {
  const text = await mesh.kubectl(['exec', metadata.name, '--', '/bin/cat', '/proc/1/status']);
  const field = (name: string): string => new RegExp(`^${name}:\\s+(\\S+)`, 'm').exec(text)?.[1] ?? '';
  // What it may ever have, not what it has at the moment.
  const bits = BigInt(`0x${field('CapBnd')}`);
  const numbers = Array.from({ length: 64 }, (_, bit) => bit).filter((bit) => (bits >> BigInt(bit)) % 2n === 1n);
  return {
    user: field('Uid'),
    capabilities: numbers.map((bit) => capabilityNames[bit] ?? String(bit)).toSorted(),
    seccomp: field('Seccomp') === '2' ? 'filter' : field('Seccomp'),
    noNewPrivileges: field('NoNewPrivs') === '1',
  };
}

async function assertReadOnly({ cluster }: InstalledMesh, { metadata }: Pod): Promise<void> {
  const words = ['--namespace', system, 'exec', metadata.name, '--', '/bin/touch', '/opt/ambit/bin/other'];
  const { code, stderr } = await cluster.tryKubectl(words, { anyStatus: true });
  assert.notEqual(code, 0);
  assert.match(stderr, /Read-only file system/);
}
