import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';

import { service } from '../../support/manifests.ts';
import type { Manifest } from '../../support/manifests.ts';
import { Mesh } from '../../support/mesh.ts';
import { rootSuite } from '../../support/suite.ts';
import { call, calls, endpoint, wasReset, whoIn } from '../../support/testkit.ts';

const vip = '10.97.0.1';

for (const feed of ['control', 'manifests'] as const) {
  rootSuite(`entries, told by ${feed}`, () => {
    let mesh: Mesh;
    before(async () => {
      const servers = ['whoami@[::]:8080', 'whoami@[::]:8081'];
      mesh = await Mesh.create({
        feed,
        pods: { client: 0, visitor: 0, web: 1, machine: 1, other: 1 },
        members: {
          client: { namespace: 'shop' },
          visitor: { namespace: 'elsewhere' },
          web: { namespace: 'shop', namedPorts: { http: 8081 } },
        },
        servers: { web: servers, machine: servers, other: servers },
      });
    });
    after(() => mesh.remove());

    const entry = (kind: string, name: string, spec: object, metadata = {}): Manifest => ({
      apiVersion: 'networking.istio.io/v1',
      kind,
      metadata: { name, namespace: 'shop', ...metadata },
      spec,
    });
    const external = (spec: object = {}): Manifest =>
      entry('ServiceEntry', 'external', {
        hosts: ['external.example.com'],
        addresses: [vip],
        resolution: 'STATIC',
        ports: [{ number: 80, name: 'http', protocol: 'TCP' }],
        endpoints: [{ address: mesh.pod('machine').ipv4, ports: { http: 8080 } }],
        ...spec,
      });

    async function answers(client: string, address: string): Promise<string[]> {
      const results = await calls(mesh.netns(client), Array<string>(12).fill(address));
      const who = results.map((result) => `${whoIn(result).server} ${whoIn(result).local.split(':').at(-1) ?? ''}`);
      return [...new Set(who)].sort();
    }

    it('a ServiceEntry leads from its address to its endpoint, which is no pod of the mesh', async () => {
      await mesh.under([external()], async () => {
        assert.deepEqual(await answers('client', endpoint(vip, 80)), ['machine 8080']);
        const { local } = await call(mesh.netns('client'), endpoint(vip, 80));
        const line = await mesh.line(0, { 'src.addr': local ?? '', direction: 'outbound' });
        assert.equal(line['dst.service'], 'external.example.com');
      });
    });

    it('one with a selector leads to pods and WorkloadEntries alike, each at its own port', async () => {
      const machine = entry('WorkloadEntry', 'machine', {
        address: mesh.pod('machine').ipv4,
        labels: { app: 'web' },
        ports: { http: 8080 },
      });
      await mesh.under(
        [external({ endpoints: [], workloadSelector: { labels: { app: 'web' } } }), machine],
        async () => {
          assert.deepEqual(await answers('client', endpoint(vip, 80)), ['machine 8080', 'web 8081']);
        },
      );
    });

    it('a WorkloadEntry that is not healthy is left out', async () => {
      const status = { conditions: [{ type: 'Healthy', status: 'False' }] };
      const machine = {
        ...entry('WorkloadEntry', 'machine', { address: mesh.pod('machine').ipv4, labels: { app: 'machine' } }),
        status,
      };
      const plain = service({
        ...{ name: 'machines', namespace: 'shop', vips: [vip], ports: { 80: 8080 }, selector: { app: 'machine' } },
      });
      await mesh.under([plain, machine], async () => {
        assert.ok(wasReset(await call(mesh.netns('client'), endpoint(vip, 80))));
      });
      await mesh.under([plain, { ...machine, status: {} }], async () => {
        assert.deepEqual(await answers('client', endpoint(vip, 80)), ['machine 8080']);
      });
    });

    it('a ServiceEntry for its own namespace is not there for others', async () => {
      // The address is one that answers by itself, so that passing through can be told from going nowhere.
      const own = external({ addresses: [mesh.pod('other').ipv4], exportTo: ['.'] });
      await mesh.under([own], async () => {
        assert.deepEqual(await answers('client', mesh.at('other', 80)), ['machine 8080']);
        assert.deepEqual(await answers('visitor', mesh.at('other', 8080)), ['other 8080']);
      });
    });

    it('a ServiceEntry without resolution passes through', async () => {
      const spec = { addresses: [mesh.pod('other').ipv4], resolution: 'NONE', endpoints: [] };
      await mesh.under([external({ ...spec, ports: [{ number: 8080, name: 'http', protocol: 'TCP' }] })], async () => {
        assert.deepEqual(await answers('client', mesh.at('other', 8080)), ['other 8080']);
      });
    });

    it('an EndpointSlice that was written by hand stands behind its Service', async () => {
      const slice: Manifest = {
        apiVersion: 'discovery.k8s.io/v1',
        kind: 'EndpointSlice',
        metadata: { name: 'manual-1', namespace: 'shop', labels: { 'kubernetes.io/service-name': 'manual' } },
        addressType: 'IPv4',
        ports: [{ name: 'p80', port: 8081, protocol: 'TCP' }],
        endpoints: [{ addresses: [mesh.pod('machine').ipv4] }],
      };
      const manual: Manifest = {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name: 'manual', namespace: 'shop' },
        spec: { clusterIP: vip, ports: [{ name: 'p80', port: 80 }] },
      };
      await mesh.under([manual, slice], async () => {
        assert.deepEqual(await answers('client', endpoint(vip, 80)), ['machine 8081']);
      });
    });
  });
}
