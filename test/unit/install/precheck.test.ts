import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { TestContext } from 'node:test';

import type { Finding } from '../../../src/install/precheck/finding.ts';
import { kernelFindings, machineFindings } from '../../../src/install/precheck/kernel.ts';
import type { Machine } from '../../../src/install/precheck/kernel.ts';
import { precheckCluster } from '../../../src/install/precheck/precheck.ts';
import { siteWith, startInstallFixture } from '../../support/kube/install-fixture.ts';
import type { InstallFixture } from '../../support/kube/install-fixture.ts';

interface ReviewBody {
  readonly spec: { readonly resourceAttributes: { readonly verb: string; readonly resource: string } };
}

/** A cluster that is fit for the mesh, with the caller as its administrator but for what is denied. */
async function fitCluster(context: TestContext, denied: readonly string[] = []): Promise<InstallFixture> {
  const fixture = await startInstallFixture(context);
  const { server, applier } = fixture;
  const read = server.onRead;
  server.onRead = (path, query) => (path === '/version' ? { gitVersion: 'v1.34.4', minor: '34+' } : read(path, query));
  server.onWrite = ({ body }) => {
    const { verb, resource } = (body as ReviewBody).spec.resourceAttributes;
    return { status: 201, body: { status: { allowed: !denied.includes(`${verb} ${resource}`) } } };
  };
  putNode(fixture, 'n1', '6.1.0');
  applier.put('/apis/apps/v1/namespaces/kube-system/daemonsets/cilium', {
    apiVersion: 'apps/v1',
    kind: 'DaemonSet',
    metadata: { name: 'cilium', namespace: 'kube-system' },
  });
  return fixture;
}

function putNode({ server, applier }: InstallFixture, name: string, kernelVersion: string): void {
  const nodeInfo = { operatingSystem: 'linux', kernelVersion };
  const before = server.onRead;
  const node = { metadata: { name }, status: { nodeInfo } };
  server.onRead = (path, query) => {
    if (path !== '/api/v1/nodes') return before(path, query);
    const list = before(path, query) as { readonly items?: readonly unknown[] } | null;
    return { kind: 'List', metadata: {}, items: [...(list?.items ?? []), node] };
  };
  assert.equal(applier.get(`/api/v1/nodes/${name}`), null);
}

function putDaemonSet({ applier }: InstallFixture, namespace: string, name: string, labels = {}): void {
  applier.put(`/apis/apps/v1/namespaces/${namespace}/daemonsets/${name}`, {
    apiVersion: 'apps/v1',
    kind: 'DaemonSet',
    metadata: { name, namespace, labels },
  });
}

function putCilium({ applier }: InstallFixture, data: Readonly<Record<string, string>>): void {
  const metadata = { name: 'cilium-config', namespace: 'kube-system' };
  const path = '/api/v1/namespaces/kube-system/configmaps/cilium-config';
  applier.put(path, { apiVersion: 'v1', kind: 'ConfigMap', metadata, data });
}

async function linesOf({ tools }: InstallFixture): Promise<readonly string[]> {
  return (await precheckCluster(tools.api, siteWith())).map(text);
}

function text({ level, what }: Finding): string {
  return `${level}: ${what}`;
}

describe('looking at a cluster before an installation', () => {
  test('finds nothing where nothing is wrong', async (context) => {
    const findings = await precheckCluster((await fitCluster(context)).tools.api, siteWith());
    assert.deepEqual(findings.map(text), [
      'ok: Kubernetes v1.34.4',
      'ok: you have the rights of installing',
      'ok: node n1: kernel 6.1.0',
      'ok: no Istio',
      'ok: no other mesh',
      'ok: network of Cilium',
    ]);
  });

  test('names each right that is missing', async (context) => {
    const lines = await linesOf(
      await fitCluster(context, ['patch daemonsets', 'create clusterroles', 'escalate clusterroles']),
    );
    assert.ok(lines.includes('error: you may not patch daemonsets.apps in istio-system'));
    assert.ok(lines.includes('error: you may not create clusterroles.rbac.authorization.k8s.io'));
    assert.ok(lines.includes('warn: you may give out only rights that you have yourself'));
  });

  test('names nodes whose kernels are too old, and what those lack', async (context) => {
    const cluster = await fitCluster(context);
    putNode(cluster, 'n2', '5.15.0-100-generic');
    putNode(cluster, 'n3', '5.15.0-100-generic');
    const lines = (await linesOf(cluster)).filter((line) => line.includes('5.15'));
    assert.equal(lines.length, 1);
    assert.match(lines[0] ?? '', /^error: node n2 and 1 like it: .*older than Linux 5\.17, .*incoming interface/);
  });

  test('finds Istio, and who looks after it', async (context) => {
    const cluster = await fitCluster(context);
    putDaemonSet(cluster, 'istio-system', 'ztunnel', { 'app.kubernetes.io/managed-by': 'Helm' });
    assert.ok((await linesOf(cluster)).includes('error: Istio’s istio-system/ztunnel is there, of Helm'));
  });

  test('does not take itself for Istio', async (context) => {
    const cluster = await fitCluster(context);
    putDaemonSet(cluster, 'istio-system', 'ztunnel', { 'app.kubernetes.io/part-of': 'ambit' });
    assert.ok((await linesOf(cluster)).includes('ok: no Istio'));
  });

  test('finds other meshes', async (context) => {
    const cluster = await fitCluster(context);
    putDaemonSet(cluster, 'kmesh-system', 'kmesh');
    assert.ok((await linesOf(cluster)).includes('warn: Kmesh is there'));
  });

  test('finds load balancing in the sockets of pods', async (context) => {
    const cluster = await fitCluster(context);
    putCilium(cluster, { 'kube-proxy-replacement': 'true', 'cni-exclusive': 'false' });
    assert.ok((await linesOf(cluster)).some((line) => line.startsWith('error: Cilium balances load')));
    putCilium(cluster, {
      'kube-proxy-replacement': 'true',
      'bpf-lb-sock-hostns-only': 'true',
      'cni-exclusive': 'false',
    });
    assert.ok((await linesOf(cluster)).includes('ok: Cilium leaves the sockets of pods alone'));
  });

  test('finds that Cilium would remove the plugin’s configuration', async (context) => {
    const cluster = await fitCluster(context);
    putCilium(cluster, {});
    assert.ok((await linesOf(cluster)).includes('error: Cilium removes the CNI configurations of others'));
  });

  test('says what it was not allowed to look at, and goes on', async (context) => {
    const cluster = await fitCluster(context);
    // The first is asked for the version of the server.
    cluster.server.fault('list', { kind: 'text', text: '{"minor":"34","gitVersion":"v1.34.0"}' });
    cluster.server.fault('list', { kind: 'status', status: 403, reason: 'Forbidden' });
    const lines = await linesOf(cluster);
    assert.ok(
      lines.some((line) => line.startsWith('warn: the nodes could not be looked at')),
      lines.join('\n'),
    );
    assert.ok(lines.includes('ok: no Istio'));
  });
});

describe('looking at a machine', () => {
  const mount = (point: string, type: string) => ({ device: '0:1', root: '/', point, type });
  const fit: Machine = {
    release: '6.1.0',
    hasTypes: true,
    mounts: [mount('/sys/fs/cgroup', 'cgroup2'), mount('/sys/fs/bpf', 'bpf')],
  };

  test('finds nothing where nothing is wrong', () => {
    assert.ok(machineFindings(fit).every(({ level }) => level === 'ok'));
  });

  test('says where cgroup2 is beside version 1, and how to install then', () => {
    const mounts = [mount('/sys/fs/cgroup/unified', 'cgroup2'), mount('/sys/fs/bpf', 'bpf')];
    const [finding] = machineFindings({ ...fit, mounts }).filter(({ level }) => level === 'warn');
    assert.match(finding?.advice ?? '', /--set node\.cgroupDir=\/sys\/fs\/cgroup\/unified/);
  });

  test('names what is missing', () => {
    const levels = machineFindings({ release: '5.4.0', hasTypes: false, mounts: [] }).map(text);
    for (const part of ['BTF|btf', 'cgroup2 is not mounted', 'no bpffs', 'Linux 5\\.7', 'Linux 5\\.8', 'Linux 5\\.9']) {
      assert.ok(
        levels.some((line) => new RegExp(part).test(line)),
        part,
      );
    }
  });

  test('a kernel of a strange name is a warning', () => {
    assert.equal(kernelFindings('x', 'custom')[0]?.level, 'warn');
  });
});
