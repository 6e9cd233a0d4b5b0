import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';

import { endpoint, wasReset } from '../../support/testkit.ts';
import type { Running } from '../../support/processes.ts';
import { Cluster } from '../harness/cluster.ts';
import { InstalledMesh } from '../harness/mesh.ts';
import { labelText, redirectionOf, TestNamespace } from '../harness/namespace.ts';
import type { KubernetesObject, List, Pod } from '../harness/objects.ts';
import { clusterSuite } from '../harness/suite.ts';
import { clientPod, serverPod, strict } from '../harness/workloads.ts';

const port = 8080;
const echoPort = 8081;
const mode = 'istio.io/dataplane-mode';
const servers = [`whoami@[::]:${port}`, `echo@[::]:${echoPort}`];
const systemNamespaces = ['kube-system', 'istio-system'];

interface EventObject extends KubernetesObject {
  readonly reason?: string;
  readonly regarding?: { readonly name?: string };
  readonly note?: string;
}

clusterSuite('joining and leaving the mesh', () => {
  let cluster: Cluster;
  let mesh: InstalledMesh;
  let shop: TestNamespace;
  let outside: TestNamespace;
  let web: string;
  let echo: string;
  /** Connections to the server, of a pod of the namespace and of one outside. */
  let held: readonly Running[] = [];

  before(async () => {
    cluster = await Cluster.attach();
    mesh = await InstalledMesh.ensure(cluster);
    shop = await TestNamespace.create(cluster, 'joining');
    outside = await TestNamespace.create(cluster, 'outside');
    await shop.apply(strict);
    const [[server]] = await Promise.all([
      shop.start(
        serverPod('web', servers, { node: 1 }),
        clientPod('near', { node: 1 }),
        clientPod('far', { node: 2 }),
        serverPod('aside', servers, { node: 1, labels: { [mode]: 'none' } }),
        serverPod('on-host', ['whoami@[::]:18080'], { node: 1, spec: { hostNetwork: true } }),
        // Without the address that the API server knows it by, its network namespace cannot be told to be its own.
        clientPod('astray', {
          node: 2,
          container: {
            command: ['/bin/sh', '-c', 'ip address flush dev eth0; exec sleep 86400'],
            securityContext: { capabilities: { add: ['NET_ADMIN'] } },
          },
        }),
        clientPod('job', {
          node: 2,
          spec: { restartPolicy: 'Never' },
          container: { command: ['/bin/sh', '-c', 'until [ -e /tmp/over ]; do sleep 0.2; done'] },
        }),
      ),
      outside.start(clientPod('stranger', { node: 2 })),
    ]);
    const address = server?.status.podIP ?? '';
    web = endpoint(address, port);
    echo = endpoint(address, echoPort);
  });

  after(async () => {
    await Promise.all(held.map((running) => running.stop()));
    await setSystemLabels(null);
    await Promise.all([shop.remove(), outside.remove()]);
  });

  const setSystemLabels = async (value: string | null): Promise<void> => {
    await cluster.kubectl(['label', '--overwrite', 'namespace', ...systemNamespaces, labelText(mode, value)]);
  };

  const startsOf = async (): Promise<readonly string[]> =>
    (await shop.get<List<Pod>>(['pods', '--selector', 'app in (web,near,far,aside)'])).items.map(
      ({ metadata, status }) =>
        `${metadata.uid} ${status.containerStatuses?.map((container) => container.containerID).join() ?? ''}`,
    );

  const openConnections = async (): Promise<void> => {
    held = [...held, ...(await Promise.all([shop.hold('near', [echo]), shop.hold('far', [echo])]))];
  };

  /** Bytes there and back over each connection that is held. */
  const proveConnections = async (): Promise<void> => {
    for (const running of held) {
      const earlier = running.lines.length;
      running.write('exchange 0 4096\n');
      const line = await running.line((text) => running.lines.indexOf(text, earlier) >= 0);
      assert.deepEqual(JSON.parse(line), { event: 'exchange', id: 0, bytes: 4096, end: 'open', error: null });
    }
  };

  it('leaves alone what no label names, though policies say STRICT', async () => {
    assert.deepEqual(new Set(Object.values(await shop.redirections())), new Set([null]));
    assert.equal((await outside.whoami('stranger', web)).server, 'web');
  });

  it('takes in the running pods of a namespace that is labelled, without a restart', async () => {
    const before = await startsOf();
    await openConnections();
    held = [...held, await outside.hold('stranger', [echo])];
    await setSystemLabels('ambient');
    const begun = Date.now();
    await shop.label(mode, 'ambient');
    await shop.untilRedirected(['web', 'near', 'far', 'job'], 'enabled');
    console.log(`four running pods were in the mesh after ${Date.now() - begun} ms`);
    assert.deepEqual(await startsOf(), before);
    assert.equal((await shop.whoami('near', web)).server, 'web');
    assert.equal((await shop.whoami('far', web)).server, 'web');
    assert.ok(wasReset(await outside.call('stranger', web)));
  });

  it('keeps the connections that were open before', proveConnections);

  it('leaves out a pod that opts out, one of the host’s network, and what is excluded however it is labelled', async () => {
    const found = await shop.redirections();
    assert.equal(found['aside'], null);
    assert.equal(found['on-host'], null);
    const [aside] = await shop.pods('app=aside');
    assert.equal((await outside.whoami('stranger', endpoint(aside?.status.podIP ?? '', port))).server, 'aside');
    for (const namespace of systemNamespaces) {
      const { items } = await cluster.get<List<Pod>>(['pods', '--namespace', namespace]);
      assert.deepEqual(new Set(items.map(redirectionOf)), new Set([null]), namespace);
    }
  });

  it('says by an Event why a pod is not in the mesh yet', async () => {
    await shop.untilRedirected(['astray'], 'pending');
    const event = await cluster.until('the Event', async () => {
      const { items } = await shop.get<List<EventObject>>(['events.events.k8s.io']);
      return items.find(({ reason, regarding }) => reason === 'RedirectionPending' && regarding?.name === 'astray');
    });
    assert.match(event.note ?? '', /has no address 10\.244\.2\./);
  });

  it('lets go of the pod of a job that has completed', async () => {
    await shop.exec('job', ['touch', '/tmp/over']);
    await shop.untilRedirected(['job'], null);
    const [job] = await shop.pods('app=job');
    assert.equal(job?.status.phase, 'Succeeded');
    await cluster.until('the end of the enrolment', async () => {
      const lines = await mesh.logged(2, job.metadata.uid);
      return lines.some((line) => /pod (un-enrolled|forgotten)/.test(line));
    });
  });

  it('starts pods of the mesh only with an agent, and others without', async () => {
    await mesh.signalAgents(2, 'STOP');
    try {
      await shop.apply(serverPod('late', servers, { node: 2 }));
      await outside.start(clientPod('free', { node: 2 }));
      const [late] = await shop.pods('app=late');
      assert.equal(late?.status.phase, 'Pending');
      assert.equal(late.status.podIP, undefined);
    } finally {
      await mesh.signalAgents(2, 'CONT');
    }
    const late = await shop.ready('late');
    await shop.untilRedirected(['late'], 'enabled');
    assert.ok(wasReset(await outside.call('stranger', endpoint(late.status.podIP ?? '', port))));
    await mesh.untilReady(2);
  });

  it('lets go of pods whose namespace loses its label; connections of the mesh stay open', async () => {
    await openConnections();
    await shop.label(mode, null);
    await shop.untilRedirected(['web', 'near', 'far', 'astray', 'late'], null);
    await proveConnections();
    assert.equal((await outside.whoami('stranger', web)).server, 'web');
    assert.equal((await shop.whoami('far', web)).server, 'web');
  });

  it('takes in a single pod by a label of its own', async () => {
    await shop.kubectl(['label', 'pod', 'near', `${mode}=ambient`]);
    await shop.untilRedirected(['near'], 'enabled');
    await shop.kubectl(['label', 'pod', 'near', `${mode}-`]);
    await shop.untilRedirected(['near'], null);
  });
});
