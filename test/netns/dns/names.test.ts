import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, it } from 'node:test';

import { service } from '../../support/manifests.ts';
import { Mesh } from '../../support/mesh.ts';
import { enter } from '../../support/namespaces.ts';
import { root } from '../../support/paths.ts';
import { exec, start } from '../../support/processes.ts';
import type { Running } from '../../support/processes.ts';
import { suiteOnBothFeeds } from '../../support/suite.ts';
import { call, whoIn } from '../../support/testkit.ts';
import { waitFor } from '../../support/wait.ts';

const captured = { 'ambient.istio.io/dns-capture': 'true' };
const web = 'web.shop.svc.cluster.local';
/** What the resolver says to every name that is not below the cluster's domain. */
const outside = '198.51.100.4';

suiteOnBothFeeds('names', (feed) => {
  let mesh: Mesh;
  let resolver: Running;
  let program: string;
  before(async () => {
    program = await readFile(`${root}native/engine/tests/support/dns.py`, 'utf8');
    mesh = await Mesh.create({
      feed,
      nodes: 1,
      pods: { client: 0, plain: 0, web: 0, resolver: 0 },
      members: {
        client: { namespace: 'shop', annotations: captured },
        plain: { namespace: 'shop' },
        web: { namespace: 'shop' },
      },
      servers: { web: ['whoami@[::]:8080'] },
      documents: [
        service({ name: 'web', namespace: 'shop', vips: ['10.96.7.1'], ports: { 80: 8080 }, selector: { app: 'web' } }),
        service({ name: 'db', namespace: 'shop', vips: ['None'], ports: { 80: 8080 }, selector: { app: 'web' } }),
      ],
    });
    const { ipv4, ipv6 } = mesh.pod('resolver');
    resolver = start(enter(mesh.netns('resolver'), ['python3', '-uc', program, 'serve', ipv4, ipv6]));
    await resolver.line((line) => line === 'ready');
  });
  after(async () => {
    await resolver.stop();
    await mesh.remove();
  });

  const ask = async (pod: string, way: string, name: string, kind = 'A'): Promise<string> => {
    const { ipv4, ipv6 } = mesh.pod('resolver');
    const command = ['python3', '-uc', program, way, name, kind, ipv4, ipv6];
    const { stdout } = await exec(enter(mesh.netns(pod), command));
    return stdout.trim();
  };

  it('of services and endpoints are answered by the node, over UDP and TCP, and lead there', async () => {
    for (const way of ['udp', 'connected', 'udp6', 'tcp']) {
      assert.equal(await ask('client', way, web), 'NOERROR aa 10.96.7.1', way);
    }
    assert.equal(await ask('client', 'udp', 'db.shop.svc.cluster.local'), `NOERROR aa ${mesh.pod('web').ipv4}`);
    assert.equal(whoIn(await call(mesh.netns('client'), '10.96.7.1:80')).server, 'web');
  });

  it('of others come from the resolver that was asked, unchanged', async () => {
    for (const way of ['udp', 'connected', 'udp6', 'tcp']) {
      assert.equal(await ask('client', way, 'outside.test'), `NOERROR ${outside}`, way);
    }
    assert.equal(await ask('client', 'udp', 'missing.shop.svc.cluster.local'), 'NXDOMAIN');
  });

  it('are the resolver’s alone for a pod that is not captured', async () => {
    assert.equal(await ask('plain', 'udp', web), 'NXDOMAIN');
  });

  it('follow the pod’s annotation while it runs', async () => {
    const settled = async (word: string, expected: string): Promise<void> => {
      await mesh.writePod('plain', { annotations: { 'ambient.istio.io/dns-capture': word } });
      await waitFor(async () => (await ask('plain', 'udp', web)) === expected, { what: `capture that is ${word}` });
    };
    await settled('true', 'NOERROR aa 10.96.7.1');
    await settled('false', 'NXDOMAIN');
  });

  it('are counted in the words of ztunnel', async () => {
    const labels = { request_query_type: 'A', request_protocol: 'udp', source_canonical_service: 'client' };
    const asking = () => ask('client', 'udp', 'outside.test');
    await mesh.growth(0, 'istio_dns_requests_total', labels, asking, 1);
    await mesh.growth(0, 'istio_dns_upstream_requests_total', labels, asking, 1);
  });

  it('come from the resolver when the agent is away', async () => {
    await mesh.agent(0).stop('SIGKILL');
    for (const way of ['udp', 'connected', 'udp6', 'tcp']) {
      assert.equal(await ask('client', way, 'outside.test'), `NOERROR ${outside}`, way);
      assert.equal(await ask('client', way, web), 'NXDOMAIN', way);
    }
  });
});
