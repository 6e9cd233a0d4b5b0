import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';

import { parseAllDocuments } from 'yaml';
import { nameOf } from '../../src/install/cluster/api-kinds.ts';
import { installation } from '../../src/install/installation.ts';
import type { ManifestObject } from '../../src/install/manifest-object.ts';
import { resolveValues } from '../../src/install/values/resolve.ts';
import { ambitBinary, root } from '../support/paths.ts';
import { exec } from '../support/processes.ts';
import type { Finished } from '../support/processes.ts';
import { Cluster, helm } from './harness/cluster.ts';
import type { List, Metadata } from './harness/objects.ts';
import { clusterSuite } from './harness/suite.ts';

/** An image that nobody has: what is tried here is the API server, and no pod of the mesh shall run. */
const values = [
  'image.repository=ambit.local/absent',
  'image.pullPolicy=Never',
  'strict=true',
  'networkPolicy.enabled=true',
];
const set = values.flatMap((value) => ['--set', value]);
const kinds = [
  'namespaces,customresourcedefinitions,clusterroles,clusterrolebindings,validatingwebhookconfigurations',
  'services,deployments,daemonsets,configmaps,secrets,serviceaccounts,roles,rolebindings,poddisruptionbudgets',
  'networkpolicies,leases',
].join(',');

interface Listed {
  readonly kind: string;
  readonly metadata: Metadata & {
    readonly name: string;
    readonly resourceVersion: string;
    readonly generation?: number;
    readonly deletionTimestamp?: string;
  };
}

clusterSuite('installing into a real cluster', () => {
  let cluster: Cluster;
  let earlier: readonly string[];

  const ambit = (...words: readonly string[]): Promise<Finished> =>
    exec([ambitBinary, ...words, '--kubeconfig', cluster.kubeconfig], { timeout: 120_000, anyStatus: true });

  const listed = async (): Promise<readonly Listed[]> =>
    (await cluster.get<List<Listed>>([kinds, '--all-namespaces'])).items;

  const names = async (): Promise<readonly string[]> => (await listed()).map(nameText).sort();

  before(async () => {
    cluster = await Cluster.attach();
    // What other tests made may be on its way out, and is no part of what this one compares.
    await cluster.until('the end of namespaces that are deleted', async () => {
      const { items } = await cluster.get<List<Listed>>(['namespaces']);
      return items.every(({ metadata }) => metadata.deletionTimestamp === undefined);
    });
    earlier = await names();
  });

  after(async () => {
    await ambit('uninstall', '--purge', '--yes');
  });

  it('finds the cluster fit', async () => {
    const { code, stdout, stderr } = await ambit('precheck');
    assert.equal(code, 0, stdout + stderr);
    assert.match(stdout, /ok {5}you have the rights of installing/);
  });

  it('changes nothing in a dry run', async () => {
    const { code, stdout, stderr } = await ambit('install', ...set, '--dry-run');
    assert.equal(code, 0, stderr);
    assert.match(stdout, /create {5}DaemonSet istio-system\/ztunnel/);
    assert.deepEqual(await names(), earlier);
  });

  it('installs, and the API server takes every object', async () => {
    const { code, stdout, stderr } = await ambit('install', ...set);
    assert.equal(code, 0, stderr);
    assert.equal(
      stdout
        .trim()
        .split('\n')
        .filter((line) => line.startsWith('created')).length,
      site().length,
    );
  });

  it('changes nothing when it is applied again', async () => {
    const versionsOf = async (): Promise<readonly string[]> =>
      (await listed())
        .filter(({ metadata }) => metadata.labels?.['app.kubernetes.io/part-of'] === 'ambit')
        // Controllers write the status of what runs pods; a change of what was applied moves the generation.
        .map(
          ({ kind, metadata: { name, generation, resourceVersion } }) =>
            `${kind} ${name} ${/^(Deployment|DaemonSet)$/.test(kind) ? (generation ?? 0) : resourceVersion}`,
        );
    const former = await versionsOf();
    const { code, stdout, stderr } = await ambit('install', ...set);
    assert.equal(code, 0, stderr);
    assert.deepEqual(
      stdout
        .trim()
        .split('\n')
        .filter((line) => !line.startsWith('unchanged')),
      [],
    );
    assert.deepEqual(await versionsOf(), former);
  });

  it('verifies all but what needs pods that run', async () => {
    const { code, stdout } = await ambit('verify-install', ...set);
    assert.equal(code, 1);
    const problems = stdout
      .trim()
      .split('\n')
      .filter((line) => !line.startsWith('ok'));
    assert.deepEqual(
      problems.map((line) => line.replace(/^error +/, '').split(':', 1)[0]),
      [
        'Deployment istio-system/istiod',
        'ValidatingWebhookConfiguration ambit-validator-istio-system',
        'DaemonSet istio-system/ztunnel',
      ],
      stdout,
    );
  });

  it('names the owner of a field that somebody else has set, and takes it over when forced', async () => {
    await cluster.kubectl(['--namespace', 'istio-system', 'scale', 'deployment', 'istiod', '--replicas=3']);
    const refused = await ambit('install', ...set);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /Deployment istio-system\/istiod: \.spec\.replicas is owned by kubectl/);
    const forced = await ambit('install', ...set, '--force');
    assert.equal(forced.code, 0, forced.stderr);
    assert.match(forced.stdout, /changed {4}Deployment istio-system\/istiod \(\.spec\.replicas\)/);
  });

  it('removes what the values no longer ask for', async () => {
    const { code, stdout, stderr } = await ambit('install', ...set.slice(0, 4));
    assert.equal(code, 0, stderr);
    assert.match(stdout, /removed {4}PeerAuthentication istio-system\/default/);
    assert.match(stdout, /removed {4}NetworkPolicy istio-system\/ztunnel/);
  });

  it('uninstalls, and leaves the cluster as it was', async () => {
    const { code, stderr } = await ambit('uninstall', '--purge', '--yes');
    assert.equal(code, 0, stderr);
    await cluster.until('the end of the namespace', async () => {
      assert.deepEqual(await names(), earlier);
      return true;
    });
  });

  it('is the same by Helm, which finds no fault with the chart', async () => {
    const chart = `${root}daemonset/chart`;
    assert.match(await helm(['lint', '--strict', chart]), /0 chart\(s\) failed/);
    // Without a cluster Helm takes the oldest version that it knows.
    const where = ['--namespace', 'istio-system', '--kube-version', '1.34.0', '--include-crds'];
    const rendered = await helm(['template', 'ambit', chart, ...where, ...set]);
    const objects = parseAllDocuments(rendered).map((document) => document.toJS() as ManifestObject | null);
    const byName = (list: readonly ManifestObject[]) =>
      Object.fromEntries(list.filter(({ kind }) => kind !== 'Namespace').map((object) => [nameOf(object), object]));
    assert.deepEqual(byName(objects.filter((object) => object !== null)), byName(site()));
  });
});

/** As the API server would get it. */
function site(): readonly ManifestObject[] {
  const namespace = 'istio-system';
  const resolved = resolveValues({ profile: 'default', files: [], set: values, namespace });
  const version = '0.1.0';
  return JSON.parse(
    JSON.stringify(installation({ values: resolved, namespace, version })),
  ) as readonly ManifestObject[];
}

function nameText({ kind, metadata: { name, namespace = '' } }: Listed): string {
  return `${kind} ${namespace}/${name}`;
}
