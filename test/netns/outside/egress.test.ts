import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, it } from 'node:test';
import { parseAllDocuments } from 'yaml';

import { envoyBinary } from '../../support/envoy/envoy-process.ts';
import type { Manifest } from '../../support/manifests.ts';
import { Mesh } from '../../support/mesh.ts';
import { NameServer } from '../../support/name-servers.ts';
import { enter } from '../../support/namespaces.ts';
import { root } from '../../support/paths.ts';
import { start } from '../../support/processes.ts';
import type { Running } from '../../support/processes.ts';
import { rootSuite } from '../../support/suite.ts';
import { TestAuthority } from '../../support/test-authority.ts';
import { call, wasReset } from '../../support/testkit.ts';
import { waitFor } from '../../support/wait.ts';
import { gateway, shop } from '../../support/waypoints/documents.ts';
import { examplesOf } from '../../support/waypoints/examples.ts';
import type { Outcome } from '../../support/waypoints/orders.ts';
import { ShopClient, startShopServer } from '../../support/waypoints/shop-client.ts';
import { waypointPod } from '../../support/waypoints/shop.ts';

const host = 'api.example.com';
const vip = '240.240.77.1';
const dnsPort = 5353;
const systemRoots = '/etc/ssl/certs/ca-certificates.crt';
const ports = { simple: 8443, mutual: 8444, sample: 443 } as const;
const sampleHost = 'edition.example.com';

const examples = await examplesOf('egress.md');
const authority = await TestAuthority.create();

rootSuite('a host outside that is reached by its name', () => {
  const folder = mkdtempSync(join(tmpdir(), 'ambit-egress-'));
  const servers: Running[] = [];
  const clients = new Map<string, ShopClient>();
  let mesh: Mesh;
  let names: NameServer;

  before(async () => {
    // Envoy runs as nobody in particular.
    chmodSync(folder, 0o755);
    mesh = await Mesh.create({
      nodes: 1,
      pods: { client: 0, other: 0, 'waypoint-a': 0, resolver: 0, outside: 0 },
      members: {
        client: { namespace: shop, serviceAccount: 'client' },
        other: { namespace: shop, serviceAccount: 'other' },
        'waypoint-a': waypointPod,
      },
      documents: [gateway('waypoint')],
      agents: [],
    });
    const { netns, ipv4 } = mesh.pod('resolver');
    names = await NameServer.start(netns, ipv4, dnsPort);
    const addresses = [mesh.pod('outside').ipv4];
    await names.know({ [host]: { addresses }, [sampleHost]: { addresses } });
    servers.push(await startShopServer(mesh.netns('outside'), 'outside'));
    servers.push(
      await secure('simple', {}),
      await secure('mutual', { roots: authority.roots }),
      await secure('sample', {}),
    );
    for (const pod of ['client', 'other']) clients.set(pod, await ShopClient.start(mesh.netns(pod)));
    await mesh.startAgent(0, {
      flags: ['--envoy', await envoyBinary(), '--name-servers', `${ipv4}:${dnsPort}`],
    });
  });

  after(async () => {
    await Promise.all([...servers, ...clients.values()].map((running) => running.stop('SIGKILL')));
    await names.stop();
    await mesh.remove();
    rmSync(folder, { recursive: true });
  });

  async function secure(name: keyof typeof ports, files: Readonly<Record<string, string>>): Promise<Running> {
    const { key, certificate } = await authority.server([host, sampleHost]);
    const place = join(folder, name);
    mkdirSync(place);
    for (const [file, text] of Object.entries({ key, chain: certificate, ...files }))
      writeFileSync(join(place, file), text);
    const program = `${root}dist/test/support/https-server-main.js`;
    const running = start(enter(mesh.netns('outside'), ['node', program, String(ports[name]), place]));
    await running.line((line) => line === 'ready', 30_000);
    return running;
  }

  function written(name: string, text: string): string {
    const file = join(folder, name);
    writeFileSync(file, text, { mode: 0o644 });
    return file;
  }

  /** As a control plane would have chosen the address, so that the test knows it; changed as given. */
  function example(heading: string, change = (text: string): string => text): readonly Manifest[] {
    const documents = JSON.parse(change(JSON.stringify(examples.get(heading) ?? []))) as readonly Manifest[];
    assert.ok(documents.length > 0, `an example under ${heading}`);
    return documents.map((document) => withAddress(document, host));
  }

  function withAddress(document: Manifest, of: string): Manifest {
    return document.kind === 'ServiceEntry'
      ? { ...document, status: { addresses: [{ host: of, value: vip }] } }
      : document;
  }

  async function ask(path = '/open', pod = 'client'): Promise<Outcome> {
    const client = clients.get(pod);
    assert.ok(client !== undefined);
    return client.ask({ host: vip, path, headers: { host }, timeout: 5_000 });
  }

  const noAnswer: Pick<Outcome, 'statuses'> = { statuses: {} };
  const statusOf = ({ statuses }: Pick<Outcome, 'statuses'>): string => Object.keys(statuses).join();

  async function answered(wanted: string, path = '/open'): Promise<Outcome> {
    let last: Outcome | null = null;
    const found = waitFor(
      async () => {
        last = await ask(path);
        return statusOf(last) === wanted ? last : null;
      },
      { timeout: 20_000, interval: 100, what: `the status ${wanted}` },
    );
    return found.catch((error: unknown) => {
      throw new Error(`last: ${JSON.stringify(last)}`, { cause: error });
    });
  }

  it('is found by the agent', async () => {
    await mesh.under(example('A host outside, by its name'), async () => {
      assert.deepEqual((await answered('200')).servers, { outside: 1 });
    });
  });

  it('is for whom the waypoint’s policies let ask, and for what', async () => {
    await mesh.under(example('Through a waypoint'), async () => {
      assert.deepEqual((await answered('200')).servers, { outside: 1 });
      assert.equal(statusOf(await ask('/closed')), '403');
      assert.equal(statusOf(await ask('/open', 'other')), '403');
    });
  });

  it('is reached under REGISTRY_ONLY by its name, and past the waypoint by nobody but that', async () => {
    const documents = [...example('Through a waypoint'), ...example('Only what is registered')];
    await mesh.under(documents, async () => {
      await answered('200');
      const result = await call(mesh.netns('client'), mesh.at('outside', 8080));
      assert.ok(wasReset(result), JSON.stringify(result));
    });
  });

  it('is asked over TLS by the waypoint where clients speak none', async () => {
    const roots = written('roots', authority.roots);
    await mesh.under(
      example('Over TLS', (text) => text.replaceAll(systemRoots, roots)),
      async () => {
        assert.equal((await answered('200')).headers['x-name'], host);
      },
    );
    const strange = written('strange', (await TestAuthority.create()).roots);
    await mesh.under(
      example('Over TLS', (text) => text.replaceAll(systemRoots, strange)),
      async () => {
        await answered('503');
      },
    );
  });

  it('is asked as in Istio’s own samples: over TLS by the waypoint at one port, by its clients at another', async () => {
    const roots = written('roots', authority.roots);
    const text = (await readFile(`${root}test/samples/tls-origination.yaml`, 'utf8')).replaceAll(systemRoots, roots);
    const sample = parseAllDocuments(text).map((document) => withAddress(document.toJS() as Manifest, sampleHost));
    await mesh.under(sample, async () => {
      const wish = { host: vip, path: '/politics', headers: { host: sampleHost }, timeout: 5_000 };
      const isAnswered = async () => statusOf((await clients.get('client')?.ask(wish)) ?? noAnswer) === '200';
      await waitFor(isAnswered, { timeout: 20_000, interval: 100, what: 'an answer' });
      const asked = [
        '-connect',
        `${vip}:443`,
        '-servername',
        sampleHost,
        '-verify_hostname',
        sampleHost,
        '-CAfile',
        roots,
      ];
      const command = ['openssl', 's_client', '-brief', '-verify_return_error', ...asked];
      const { stderr } = await mesh.rig.exec(mesh.pod('client'), command, { input: '' });
      assert.match(stderr, /Verification: OK/);
    });
  });

  it('is shown the waypoint’s own certificate where it wants one', async () => {
    const roots = written('roots', authority.roots);
    const { key, certificate } = await authority.server(['client.example.com']);
    const files = `"clientCertificate":"${written('chain', certificate)}","privateKey":"${written('key', key)}"`;
    const over = (mode: string) => (text: string) =>
      text
        .replaceAll(systemRoots, roots)
        .replaceAll(`"targetPort":${ports.simple}`, `"targetPort":${ports.mutual}`)
        .replace('"mode":"SIMPLE"', mode);
    await mesh.under(example('Over TLS', over('"mode":"SIMPLE"')), async () => {
      await answered('503');
    });
    await mesh.under(example('Over TLS', over(`"mode":"MUTUAL",${files}`)), async () => {
      await answered('200');
    });
  });
});
