import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { objectPath } from '../../../src/install/cluster/api-kinds.ts';
import { install } from '../../../src/install/cluster/install.ts';
import type { InstallOptions } from '../../../src/install/cluster/install.ts';
import { installation } from '../../../src/install/installation.ts';
import { paths, rollOut, siteWith, startInstallFixture } from '../../support/kube/install-fixture.ts';
import type { InstallFixture } from '../../support/kube/install-fixture.ts';

const everything = { strict: true, networkPolicy: { enabled: true } };
const plain: InstallOptions = { site: siteWith(everything), force: false, dryRun: false, wait: null };

function versions({ applier }: InstallFixture): readonly (readonly [string, string | undefined])[] {
  return [...applier.stored].map(([path, { object }]) => [path, object.metadata.resourceVersion]);
}

function writes({ server }: InstallFixture): readonly string[] {
  return server.requests
    .filter(({ kind, query }) => kind === 'write' && query['dryRun'] === undefined)
    .map(({ path }) => path);
}

/** What istiod's own installation leaves. */
const istiod = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'istiod', namespace: 'istio-system', labels: { 'app.kubernetes.io/managed-by': 'Helm' } },
  spec: { selector: { app: 'istiod' } },
};
const namespace = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'istio-system' } };

describe('installing', () => {
  test('applies every object, the namespace and the definitions first', async (context) => {
    const fixture = await startInstallFixture(context);
    await install(fixture.tools, plain);
    const expected = installation(plain.site).map(objectPath);
    assert.deepEqual([...fixture.applier.stored.keys()], expected);
    assert.equal(writes(fixture)[0], paths.namespace);
  });

  test('applied again, changes nothing', async (context) => {
    const fixture = await startInstallFixture(context);
    await install(fixture.tools, plain);
    const before = versions(fixture);
    fixture.lines.length = 0;
    await install(fixture.tools, plain);
    assert.deepEqual(versions(fixture), before);
    assert.ok(
      fixture.lines.every((line) => line.startsWith('unchanged')),
      fixture.lines.join('\n'),
    );
  });

  test('with other values, changes what they change and says which fields', async (context) => {
    const fixture = await startInstallFixture(context);
    await install(fixture.tools, plain);
    fixture.lines.length = 0;
    await install(fixture.tools, { ...plain, site: siteWith({ ...everything, control: { replicas: 3 } }) });
    assert.deepEqual(
      fixture.lines.filter((line) => !line.startsWith('unchanged')),
      ['changed    Deployment istio-system/istiod (.spec.replicas)'],
    );
  });

  const away = [{ kind: 'reset' }, { kind: 'status', status: 503 }, { kind: 'status', status: 429 }] as const;

  test('asks an API server that is away again while it may wait', async (context) => {
    const fixture = await startInstallFixture(context);
    await install(fixture.tools, plain);
    rollOut(fixture.applier);
    fixture.lines.length = 0;
    fixture.server.fault('write', ...away);
    await install(fixture.tools, { ...plain, wait: 60_000 });
    assert.match(fixture.lines[0] ?? '', /^waiting {4}for the API server: /);
    assert.equal(fixture.lines.at(-1), 'ready      control plane and agents');
  });

  test('gives up at once where it may not wait', async (context) => {
    const fixture = await startInstallFixture(context);
    fixture.server.fault('write', { kind: 'reset' });
    await assert.rejects(install(fixture.tools, plain));
    assert.deepEqual(writes(fixture), []);
  });

  test('gives up when the time is over', async (context) => {
    const fixture = await startInstallFixture(context);
    fixture.server.fault('write', ...Array.from({ length: 2000 }, () => ({ kind: 'reset' }) as const));
    await assert.rejects(install(fixture.tools, { ...plain, wait: 20_000 }), { code: 'KUBERNETES_API' });
  });

  test('takes away what the values no longer ask for', async (context) => {
    const fixture = await startInstallFixture(context);
    await install(fixture.tools, plain);
    await install(fixture.tools, { ...plain, site: siteWith() });
    assert.equal(fixture.applier.get(paths.strict), null);
    assert.ok(fixture.lines.includes('removed    PeerAuthentication istio-system/default'));
  });

  test('a dry run writes nothing and says what it would do', async (context) => {
    const fixture = await startInstallFixture(context);
    await install(fixture.tools, { ...plain, dryRun: true });
    assert.equal(fixture.applier.stored.size, 0);
    assert.deepEqual(writes(fixture), []);
    assert.ok(fixture.lines.includes('create     DaemonSet istio-system/ztunnel'));
  });

  test('refuses to touch what is not of Ambit, before anything is changed', async (context) => {
    const fixture = await startInstallFixture(context);
    fixture.applier.put(paths.namespace, namespace);
    fixture.applier.put(paths.service, istiod);
    await assert.rejects(install(fixture.tools, plain), {
      code: 'INSTALL_REFUSED',
      message: /Service istio-system\/istiod: is there already, and not of Ambit but of Helm/,
    });
    assert.deepEqual(writes(fixture), []);
  });

  test('names who owns a field that differs, and takes it over when forced', async (context) => {
    const fixture = await startInstallFixture(context);
    await install(fixture.tools, plain);
    const live = fixture.applier.get(paths.control) ?? assert.fail();
    fixture.applier.put(paths.control, { ...live, spec: { ...(live['spec'] as object), replicas: 7 } }, 'scaler');
    await assert.rejects(install(fixture.tools, plain), {
      code: 'INSTALL_REFUSED',
      message: /Deployment istio-system\/istiod: \.spec\.replicas is owned by scaler/,
    });
    await install(fixture.tools, { ...plain, force: true });
    assert.equal((fixture.applier.get(paths.control)?.['spec'] as { replicas: number }).replicas, 1);
  });

  test('tells every refusal of the API server at once', async (context) => {
    const fixture = await startInstallFixture(context);
    fixture.applier.put(paths.namespace, namespace);
    for (const path of [paths.agentRole, paths.service]) {
      fixture.applier.refusals.set(path, {
        status: 403,
        body: { kind: 'Status', code: 403, reason: 'Forbidden', message: 'may not' },
      });
    }
    await assert.rejects(install(fixture.tools, { ...plain, force: true }), (error: Error) => {
      assert.match(error.message, /ClusterRole ztunnel-istio-system/);
      assert.match(error.message, /Service istio-system\/istiod/);
      return true;
    });
  });

  test('marks a namespace that it makes, and none that was there', async (context) => {
    const made = await startInstallFixture(context);
    await install(made.tools, plain);
    assert.equal(made.applier.get(paths.namespace)?.metadata.annotations?.['ambit.dev/created-by'], 'ambit-install');
    const there = await startInstallFixture(context);
    there.applier.put(paths.namespace, namespace);
    await install(there.tools, plain);
    assert.equal(there.applier.get(paths.namespace)?.metadata.annotations, undefined);
  });

  test('does not go into a namespace that is being deleted', async (context) => {
    const fixture = await startInstallFixture(context);
    const metadata = { name: 'istio-system', deletionTimestamp: '2026-01-01T00:00:00Z' };
    fixture.applier.put(paths.namespace, { ...namespace, metadata });
    await assert.rejects(install(fixture.tools, plain), /Namespace istio-system: is being deleted/);
  });

  test('a second installation in another namespace is refused', async (context) => {
    const fixture = await startInstallFixture(context);
    await install(fixture.tools, plain);
    await assert.rejects(install(fixture.tools, { ...plain, site: siteWith({}, 'mesh') }), {
      code: 'INSTALLED_ELSEWHERE',
      message: /in the namespace istio-system/,
    });
  });
});

describe('definitions that somebody else has installed', () => {
  const path = `${paths.definitions}/peerauthentications.security.istio.io`;
  const definition = (...served: readonly string[]) => ({
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: 'peerauthentications.security.istio.io' },
    spec: { versions: served.map((name) => ({ name, served: true })) },
    status: { conditions: [{ type: 'Established', status: 'True' }] },
  });

  test('are left as they are, and said', async (context) => {
    const fixture = await startInstallFixture(context);
    fixture.applier.put(path, definition('v1beta1', 'v1'), 'istioctl');
    const before = fixture.applier.get(path);
    await install(fixture.tools, { ...plain, force: true });
    assert.deepEqual(fixture.applier.get(path), before);
    assert.ok(fixture.lines.some((line) => line.startsWith('left       CustomResourceDefinition peerauth')));
  });

  test('that do not serve what is read stop the installation', async (context) => {
    const fixture = await startInstallFixture(context);
    fixture.applier.put(path, definition('v1beta1'), 'istioctl');
    await assert.rejects(install(fixture.tools, plain), /does not serve v1: bring in/);
    assert.deepEqual(writes(fixture), []);
  });
});

describe('waiting', () => {
  test('a definition that is never established stops it, with the reason', async (context) => {
    const fixture = await startInstallFixture(context);
    fixture.applier.onChange = (path, method) => {
      if (method !== 'PATCH' || !path.startsWith(paths.definitions)) return;
      const conditions = [{ type: 'NamesAccepted', status: 'False', message: 'the name is taken' }];
      fixture.applier.patch(path, { status: { conditions } });
    };
    await assert.rejects(install(fixture.tools, plain), {
      code: 'DEFINITION_NOT_ESTABLISHED',
      message: /the name is taken/,
    });
    assert.equal(fixture.applier.get(paths.settings), null);
  });

  test('a rollout is waited for', async (context) => {
    const fixture = await startInstallFixture(context);
    const { onChange } = fixture.applier;
    fixture.applier.onChange = (path, method) => {
      onChange(path, method);
      if (path === paths.agents) rollOut(fixture.applier);
    };
    await install(fixture.tools, { ...plain, wait: 60_000 });
    assert.equal(fixture.lines.at(-1), 'ready      control plane and agents');
  });

  test('one that does not come says which pods are in trouble, and why', async (context) => {
    const fixture = await startInstallFixture(context);
    fixture.applier.put('/api/v1/namespaces/istio-system/pods/istiod-1', {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'istiod-1', namespace: 'istio-system', labels: { app: 'istiod' } },
      spec: { nodeName: 'n1' },
      status: {
        containerStatuses: [
          { ready: false, state: { waiting: { reason: 'ImagePullBackOff', message: 'no such tag' } } },
        ],
      },
    });
    await assert.rejects(install(fixture.tools, { ...plain, wait: 5000 }), {
      code: 'ROLLOUT_UNFINISHED',
      message: /0 of 1 pods are of this version\n {2}pod istiod-1 on n1: ImagePullBackOff: no such tag/,
    });
  });

  test('ends with its signal', async (context) => {
    const fixture = await startInstallFixture(context);
    const controller = new AbortController();
    const { onChange } = fixture.applier;
    fixture.applier.onChange = (path, method) => {
      onChange(path, method);
      if (path === paths.agents) controller.abort(new Error('interrupted'));
    };
    const tools = { ...fixture.tools, signal: controller.signal };
    await assert.rejects(install(tools, { ...plain, wait: 60_000 }), /interrupted/);
  });
});
