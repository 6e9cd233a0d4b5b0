import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { status } from '@grpc/grpc-js';
import { controlPlaneIdentifier, typeUrls } from '../../../src/wds/names.ts';
import { localPod, meshSettings, policy, service, serviceKey, workload } from '../../support/mesh-builders.ts';
import { TestAuthority } from '../../support/test-authority.ts';
import { newXdsRig, TOKEN } from './rig.ts';

const web = workload('web', { addresses: ['10.0.0.1'] });
const db = workload('db', { addresses: ['10.0.0.2'] });
const shop = service('shop', { vips: ['10.96.0.1'] });
const deny = policy('deny', {}, { destinationPorts: [80] });

suite('xDS with a stock control plane', () => {
  test('names itself as a ztunnel does, with token and cluster, in the first request alone', async (context) => {
    const rig = await newXdsRig(context);
    rig.run();
    await rig.until(() => rig.synced() === 1);
    const [first, ...others] = rig.control.requests;
    assert.equal(first?.node?.id, 'ztunnel~10.0.0.9~agent.istio-system~istio-system.svc.cluster.local');
    assert.deepEqual(first.node.metadata, { NODE_NAME: 'node-1', AMBIT_PARTIAL_RESPONSES: true });
    assert.ok(others.every(({ node }) => node === undefined));
    assert.deepEqual(rig.control.metadata[0]?.get('authorization'), [`Bearer ${TOKEN}`]);
    assert.deepEqual(rig.control.metadata[0].get('clusterid'), ['Kubernetes']);
  });

  test('asks for policies before addresses, for all of them, and for nothing else', async (context) => {
    const rig = await newXdsRig(context);
    rig.run();
    await rig.until(() => rig.synced() === 1);
    const subscriptions = rig.control.requests.filter(({ responseNonce }) => responseNonce === '');
    assert.deepEqual(
      subscriptions.map(({ typeUrl, resourceNamesSubscribe }) => ({ typeUrl, resourceNamesSubscribe })),
      [
        { typeUrl: typeUrls.authorization, resourceNamesSubscribe: [] },
        { typeUrl: typeUrls.address, resourceNamesSubscribe: [] },
      ],
    );
  });

  test('takes workloads, services and policies, and acknowledges each response', async (context) => {
    const rig = await newXdsRig(context);
    rig.control.setWorkload(web);
    rig.control.setService(shop);
    rig.control.setPolicy(deny);
    rig.run();
    await rig.until(() => rig.control.acks === 2);
    assert.deepEqual(rig.state().workloads.get(web.uid), web);
    assert.deepEqual(rig.state().services.get(serviceKey(shop)), shop);
    assert.deepEqual(rig.state().policies.get('default/deny'), deny);
    assert.deepEqual(rig.control.nacks, []);
  });

  test('follows changes and removals', async (context) => {
    const rig = await newXdsRig(context);
    rig.control.setWorkload(web);
    rig.control.setWorkload(db);
    rig.run();
    await rig.until(() => rig.synced() === 1);
    rig.control.setWorkload({ ...web, status: 'unhealthy' });
    rig.control.push(typeUrls.address, [web.uid]);
    rig.control.pushRemoval(typeUrls.address, [db.uid]);
    await rig.until(() => !rig.state().workloads.has(db.uid));
    assert.equal(rig.state().workloads.get(web.uid)?.status, 'unhealthy');
  });

  test('of a push that is half bad the good half counts, and the bad one is refused by name', async (context) => {
    const rig = await newXdsRig(context);
    rig.control.setWorkload(web);
    rig.control.setBytes(typeUrls.address, 'bad/one', Uint8Array.of(0x0a, 0xff));
    rig.run();
    await rig.until(() => rig.control.nacks.length === 1);
    assert.match(rig.control.nacks[0] ?? '', /^bad\/one: /);
    assert.ok(rig.state().workloads.has(web.uid));
  });

  test('what was refused keeps its last good value', async (context) => {
    const rig = await newXdsRig(context);
    rig.control.setWorkload(web);
    rig.run();
    await rig.until(() => rig.synced() === 1);
    rig.control.setBytes(typeUrls.address, web.uid, Uint8Array.of(0x0a, 0xff));
    rig.control.push(typeUrls.address, [web.uid]);
    await rig.until(() => rig.control.nacks.length === 1);
    assert.deepEqual(rig.state().workloads.get(web.uid), web);
  });
});

suite('reconnecting', () => {
  test('tells what it holds, so that only differences come', async (context) => {
    const rig = await newXdsRig(context);
    rig.control.setWorkload(web);
    rig.control.setWorkload(db);
    rig.run();
    await rig.until(() => rig.synced() === 1);
    rig.control.endStreams();
    rig.control.delete(typeUrls.address, db.uid);
    await rig.until(() => rig.synced() === 2);
    const again = rig.control.requests.filter(
      ({ typeUrl, responseNonce }) => typeUrl === typeUrls.address && responseNonce === '',
    );
    assert.deepEqual(Object.keys(again[1]?.initialResourceVersions ?? {}).sort(), [db.uid, web.uid]);
    assert.deepEqual([...rig.state().workloads.keys()], [web.uid]);
  });

  test('what was refused does not count as held', async (context) => {
    const rig = await newXdsRig(context);
    rig.control.setBytes(typeUrls.address, 'bad/one', Uint8Array.of(0x0a, 0xff));
    rig.run();
    await rig.until(() => rig.synced() === 1);
    rig.control.endStreams();
    await rig.until(() => rig.synced() === 2);
    const again = rig.control.requests.filter(
      ({ typeUrl, responseNonce }) => typeUrl === typeUrls.address && responseNonce === '',
    );
    assert.deepEqual(again[1]?.initialResourceVersions, {});
  });

  test('while the control plane is away, the last state stays in force', async (context) => {
    const rig = await newXdsRig(context);
    rig.control.setWorkload(web);
    rig.run();
    await rig.until(() => rig.synced() === 1);
    rig.control.kill();
    await rig.until(() => rig.client.status().failures > 0);
    assert.ok(rig.state().workloads.has(web.uid));
    assert.equal(rig.client.status().connected, false);
    await rig.control.start();
    await rig.until(() => rig.synced() === 2);
    assert.equal(rig.client.status().failures, 0);
  });

  test('waits longer after each failure, at most 15 s', async (context) => {
    const waits: number[] = [];
    const timers = {
      now: () => Date.now(),
      after: (milliseconds: number, callback: () => void) => {
        waits.push(milliseconds);
        setImmediate(callback);
        return () => undefined;
      },
    };
    const rig = await newXdsRig(context, { client: { timers }, access: { tokenFile: '/nowhere/token' } });
    rig.run();
    await rig.until(() => waits.length >= 14);
    assert.deepEqual(waits.slice(0, 13), [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 5120, 10_240, 15_000, 15_000]);
  });

  test('a control plane that ends a stream before it has said anything is not tried without pause', async (context) => {
    const rig = await newXdsRig(context);
    rig.control.answering = false;
    rig.run();
    for (const failures of [1, 2, 3]) {
      await rig.until(() => rig.control.streams === 1);
      rig.control.endStreams(status.CANCELLED);
      await rig.until(() => rig.client.status().failures === failures);
    }
  });

  test('reads the token anew for each connection', async (context) => {
    const rig = await newXdsRig(context);
    rig.run();
    await rig.until(() => rig.synced() === 1);
    writeFileSync(join(rig.folder, 'token'), 'second.token.value');
    rig.control.endStreams();
    await rig.until(() => rig.synced() === 2);
    assert.deepEqual(rig.control.metadata[1]?.get('authorization'), ['Bearer second.token.value']);
  });

  test('a token that cannot be read is told, without what was read', async (context) => {
    const rig = await newXdsRig(context);
    writeFileSync(join(rig.folder, 'token'), 'two\nlines');
    rig.run();
    await rig.until(() => rig.client.status().failures > 0);
    const [warning] = rig.records.filter(({ level }) => level === 'warn');
    assert.equal(warning?.fields['code'], 'CONTROL_TOKEN_UNREADABLE');
    assert.doesNotMatch(JSON.stringify(rig.records), /two\\nlines/);
    rmSync(join(rig.folder, 'token'));
  });
});

suite('xDS with our own control plane', () => {
  const ours = { control: { identifier: `${controlPlaneIdentifier}-0` } };

  test('takes settings and the pods of this node, too', async (context) => {
    const rig = await newXdsRig(context, ours);
    const settings = meshSettings({ trustDomain: 'example.org', sameNode: 'tls' });
    rig.control.setSettings(settings);
    rig.control.setWorkload(web);
    rig.control.setPod(localPod(web));
    rig.run();
    await rig.until(() => rig.synced() === 1);
    assert.deepEqual(rig.state().settings, settings);
    assert.deepEqual(rig.state().localPods.get('uid-web'), localPod(web));
  });

  test('knows which network is its own before the first address comes', async (context) => {
    const rig = await newXdsRig(context, ours);
    rig.control.setSettings(meshSettings({ network: 'east' }));
    rig.control.setWorkload(web, 'east');
    rig.control.setWorkload(db, 'west');
    rig.run();
    await rig.until(() => rig.synced() === 1);
    assert.deepEqual(rig.state().workloads.get(web.uid)?.addresses, ['10.0.0.1']);
    assert.deepEqual(rig.state().workloads.get(db.uid)?.addresses, []);
  });

  test('reads the addresses anew when its own network becomes another', async (context) => {
    const rig = await newXdsRig(context, ours);
    rig.control.setSettings(meshSettings({ network: 'east' }));
    rig.control.setWorkload(web, 'west');
    rig.run();
    await rig.until(() => rig.synced() === 1);
    assert.deepEqual(rig.state().workloads.get(web.uid)?.addresses, []);
    rig.control.setSettings(meshSettings({ network: 'west' }));
    rig.control.push(typeUrls.meshSettings, ['mesh']);
    await rig.until(() => rig.state().workloads.get(web.uid)?.addresses.length === 1);
    assert.deepEqual(rig.state().workloads.get(web.uid), web);
  });
});

suite('addresses by name', () => {
  test('are asked for one by one, and again after a reconnect', async (context) => {
    const names = new Set<string>(['/10.0.0.1']);
    const rig = await newXdsRig(context, { client: { demanded: { names: () => names } } });
    rig.control.setWorkload(web);
    rig.control.setWorkload(db);
    rig.run();
    await rig.until(() => rig.synced() === 1);
    assert.deepEqual([...rig.state().workloads.keys()], [web.uid]);
    names.add('/10.0.0.2');
    rig.client.demand(['/10.0.0.2'], []);
    await rig.until(() => rig.state().workloads.has(db.uid));
    rig.control.endStreams();
    await rig.until(() => rig.synced() === 2);
    const again = rig.control.requests.findLast(({ resourceNamesSubscribe: asked }) => asked.includes('*'));
    assert.deepEqual(again?.resourceNamesSubscribe, ['*', '/10.0.0.1', '/10.0.0.2']);
    assert.deepEqual(again.resourceNamesUnsubscribe, ['*']);
  });

  test('that nobody has are answered, too', async (context) => {
    const rig = await newXdsRig(context, { client: { demanded: { names: () => [] } } });
    rig.run();
    await rig.until(() => rig.synced() === 1);
    rig.client.demand(['/10.0.0.9'], []);
    await rig.until(() => rig.answered.includes('/10.0.0.9'));
  });
});

suite('ending', () => {
  test('in the middle of connecting leaves nothing behind', async (context) => {
    const rig = await newXdsRig(context);
    rig.run();
    await Promise.resolve();
    await rig.stop();
    assert.equal(rig.control.streams, 0);
  });
});

suite('what a call carries', () => {
  test('are the headers that were set, under those of its own', async (context) => {
    const headers = [
      ['x-tenant', 'blue'],
      ['authorization', 'of nobody'],
    ] as const;
    const rig = await newXdsRig(context, { access: { headers } });
    rig.run();
    await rig.until(() => rig.synced() === 1);
    assert.deepEqual(rig.control.metadata[0]?.get('x-tenant'), ['blue']);
    assert.deepEqual(rig.control.metadata[0].get('authorization'), [`Bearer ${TOKEN}`]);
  });

  test('is the token that was given, before that of a file', async (context) => {
    const rig = await newXdsRig(context, { access: { token: 'given', tokenFile: '/nowhere' } });
    rig.run();
    await rig.until(() => rig.synced() === 1);
    assert.deepEqual(rig.control.metadata[0]?.get('authorization'), ['Bearer given']);
    assert.doesNotMatch(JSON.stringify(rig.records), /given/);
  });
});

suite('TLS', () => {
  test('connects to a control plane that its roots vouch for, and again when they change', async (context) => {
    const folder = mkdtempSync(join(tmpdir(), 'ambit-roots-'));
    context.after(() => {
      rmSync(folder, { recursive: true });
    });
    const rootFile = join(folder, 'root.pem');
    const [authority, stranger] = [await TestAuthority.create(), await TestAuthority.create()];
    writeFileSync(rootFile, stranger.roots);
    const rig = await newXdsRig(context, { control: { tls: await authority.server() }, access: { rootFile } });
    rig.run();
    await rig.until(() => rig.client.status().failures > 0);
    assert.match(rig.client.status().lastError ?? '', /CONTROL_UNREACHABLE.*certificate/);
    writeFileSync(rootFile, authority.roots);
    await rig.until(() => rig.synced() === 1);
    writeFileSync(rootFile, authority.roots + stranger.roots);
    await rig.until(() => rig.synced() === 2);
  });

  test('takes roots that are given as text, and an address for a name without a warning', async (context) => {
    const warnings: string[] = [];
    const note = (warning: Error): void => void warnings.push(warning.message);
    process.on('warning', note);
    context.after(() => process.off('warning', note));
    const authority = await TestAuthority.create();
    const rig = await newXdsRig(context, {
      control: { tls: await authority.server() },
      access: { rootFile: authority.roots },
    });
    rig.run();
    await rig.until(() => rig.synced() === 1);
    assert.deepEqual(warnings, []);
  });

  test('an address that the certificate does not name is refused', async (context) => {
    const authority = await TestAuthority.create();
    const rig = await newXdsRig(context, { control: { tls: await authority.server() } });
    const [, port] = rig.control.address.split(':');
    const elsewhere = await newXdsRig(context, {
      access: { endpoint: { target: `[::ffff:127.0.0.1]:${port ?? ''}`, tls: true }, rootFile: authority.roots },
    });
    elsewhere.run();
    await elsewhere.until(() => elsewhere.client.status().failures > 0);
    assert.match(elsewhere.client.status().lastError ?? '', /not in the cert's list/);
  });
});
