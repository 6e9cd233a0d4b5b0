import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { install } from '../../../src/install/cluster/install.ts';
import { verify } from '../../../src/install/cluster/verify.ts';
import { runningVersions, tagOf } from '../../../src/install/cluster/versions.ts';
import { paths, rollOut, siteWith, startInstallFixture } from '../../support/kube/install-fixture.ts';
import type { InstallFixture } from '../../support/kube/install-fixture.ts';

const site = siteWith();

async function problemsOf({ tools }: InstallFixture): Promise<readonly string[]> {
  const verified = await verify(tools.api, site);
  return verified.flatMap(({ name, problems }) => problems.map((problem) => `${name}: ${problem}`));
}

/** Everything is applied and runs, and the control plane has written its roots. */
async function running(fixture: InstallFixture): Promise<InstallFixture> {
  await install(fixture.tools, { site, force: false, dryRun: false, wait: null });
  rollOut(fixture.applier);
  return fixture;
}

function withBundle({ applier }: InstallFixture): void {
  // The list is one leaf to the fake API server, so the bundle goes in together with its owner.
  const live = applier.get(paths.webhook) ?? assert.fail();
  const [webhook] = live['webhooks'] as readonly { readonly clientConfig: object }[];
  const clientConfig = { ...webhook?.clientConfig, caBundle: 'cm9vdHM=' };
  applier.patch(paths.webhook, { webhooks: [{ ...webhook, clientConfig }] });
}

describe('verifying', () => {
  test('names what is not there', async (context) => {
    const fixture = await running(await startInstallFixture(context));
    fixture.applier.stored.delete(paths.service);
    assert.ok((await problemsOf(fixture)).includes('Service istio-system/istiod: is not there'));
  });

  test('names the fields that somebody has changed', async (context) => {
    const fixture = await running(await startInstallFixture(context));
    const role = fixture.applier.get(paths.agentRole) ?? assert.fail();
    fixture.applier.patch(paths.agentRole, { ...role, rules: [] });
    const problems = await problemsOf(fixture);
    assert.ok(
      problems.some((line) => /^ClusterRole ztunnel-istio-system: differs .*\.rules\[0\]/.test(line)),
      problems.join('\n'),
    );
  });

  test('names pods that do not run', async (context) => {
    const fixture = await running(await startInstallFixture(context));
    fixture.applier.patch(paths.agents, { status: { numberAvailable: 1 } });
    assert.ok((await problemsOf(fixture)).includes('DaemonSet istio-system/ztunnel: 1 of 2 pods are available'));
  });

  test('names a webhook without roots, which the API server could not call', async (context) => {
    const fixture = await running(await startInstallFixture(context));
    const missing = (await problemsOf(fixture)).filter((line) => line.startsWith('Validating'));
    assert.equal(missing.length, 1);
    assert.match(missing[0] ?? '', /has not put its roots in/);
    withBundle(fixture);
    assert.ok(!(await problemsOf(fixture)).some((line) => line.includes('roots')));
  });

  test('changes nothing', async (context) => {
    const fixture = await running(await startInstallFixture(context));
    const before = [...fixture.applier.stored].map(([path, { object }]) => [path, object.metadata.resourceVersion]);
    fixture.applier.stored.delete(paths.service);
    await verify(fixture.tools.api, site);
    const after = [...fixture.applier.stored].map(([path, { object }]) => [path, object.metadata.resourceVersion]);
    assert.deepEqual(
      after,
      before.filter(([path]) => path !== paths.service),
    );
  });
});

describe('versions', () => {
  test('of control plane and agents are those of their images', async (context) => {
    const { applier, tools } = await startInstallFixture(context);
    const pod = (name: string, app: string, container: string, image: string): void => {
      const labels = { app, 'app.kubernetes.io/part-of': 'ambit' };
      const metadata = { name, namespace: 'istio-system', labels };
      const spec = {
        containers: [
          { name: 'helper', image: 'x:9' },
          { name: container, image },
        ],
      };
      applier.put(`/api/v1/namespaces/istio-system/pods/${name}`, { apiVersion: 'v1', kind: 'Pod', metadata, spec });
    };
    pod('c', 'istiod', 'discovery', 'ambit/ambit:1.2.3');
    pod('a1', 'ztunnel', 'istio-proxy', 'ambit/ambit:1.2.3');
    pod('a2', 'ztunnel', 'istio-proxy', 'ambit/ambit:1.2.2');
    pod('a3', 'ztunnel', 'istio-proxy', 'ambit/ambit:1.2.3');
    const { control, agents } = await runningVersions(tools.api, 'istio-system');
    assert.deepEqual([...control], [['1.2.3', 1]]);
    assert.deepEqual(
      [...agents],
      [
        ['1.2.3', 2],
        ['1.2.2', 1],
      ],
    );
  });

  for (const [image, version] of [
    ['registry:5000/ambit/ambit:1.2.3@sha256:00', '1.2.3'],
    ['registry:5000/ambit/ambit', 'latest'],
    ['ambit/ambit@sha256:00', 'sha256:00'],
  ] as const) {
    test(`of ${image} is ${version}`, () => {
      assert.equal(tagOf(image), version);
    });
  }
});
