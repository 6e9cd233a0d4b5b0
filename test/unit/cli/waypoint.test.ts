import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { TestContext } from 'node:test';

import { parse } from 'yaml';
import { main } from '../../../src/cli/program.ts';
import {
  applyWaypoint,
  deleteWaypoints,
  listWaypoints,
  statusOfWaypoints,
} from '../../../src/cli/waypoints/actions.ts';
import type { WaypointWish } from '../../../src/cli/waypoints/gateways.ts';
import { KubeError } from '../../../src/kube/kube-error.ts';
import { startInstallFixture } from '../../support/kube/install-fixture.ts';
import type { InstallFixture } from '../../support/kube/install-fixture.ts';

const api = '/apis/gateway.networking.k8s.io/v1';
const definitions = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
const wish: WaypointWish = { name: 'waypoint', namespace: 'shop', trafficType: null, revision: null };
const plain = { wish, enrol: false, overwrite: false, wait: null };

/** A cluster with the Gateway API and a namespace `shop`. */
async function start(context: TestContext, labels: Readonly<Record<string, string>> = {}): Promise<InstallFixture> {
  const fixture = await startInstallFixture(context);
  const { applier, server } = fixture;
  for (const plural of ['gateways', 'gatewayclasses']) {
    const name = `${plural}.gateway.networking.k8s.io`;
    applier.put(`${definitions}/${name}`, { apiVersion: 'v1', kind: 'CustomResourceDefinition', metadata: { name } });
  }
  const namespace = '/api/v1/namespaces/shop';
  applier.put(namespace, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop', labels } });
  const { onWrite } = server;
  server.onWrite = (request) => {
    if (request.contentType !== 'application/merge-patch+json') return onWrite(request);
    applier.patch(request.path, request.body as object);
    return { status: 200, body: {} };
  };
  return fixture;
}

function pathOf(name: string): string {
  return `${api}/namespaces/shop/gateways/${name}`;
}

function putGateway({ applier }: InstallFixture, name: string, more: object = {}): void {
  const spec = { gatewayClassName: 'istio-waypoint' };
  const metadata = { name, namespace: 'shop' };
  applier.put(pathOf(name), { apiVersion: 'gateway.networking.k8s.io/v1', kind: 'Gateway', metadata, spec, ...more });
}

function programmed(status: 'True' | 'False', message = ''): object {
  return { status: { conditions: [{ type: 'Programmed', status, reason: 'Because', message }] } };
}

describe('ambit waypoint apply', () => {
  it('makes a Gateway with the one listener of the mesh', async (context) => {
    const fixture = await start(context);
    await applyWaypoint(fixture.tools, { ...plain, wish: { ...wish, trafficType: 'all', revision: 'blue' } });
    const made = fixture.applier.get(pathOf('waypoint'));
    assert.deepEqual(made?.metadata.labels, { 'istio.io/waypoint-for': 'all', 'istio.io/rev': 'blue' });
    assert.deepEqual(made['spec'], {
      gatewayClassName: 'istio-waypoint',
      listeners: [{ name: 'mesh', port: 15008, protocol: 'HBONE' }],
    });
    assert.deepEqual(fixture.lines, ['✅ waypoint shop/waypoint applied']);
  });

  it('labels the namespace, and says that it is not of the mesh', async (context) => {
    const fixture = await start(context);
    await applyWaypoint(fixture.tools, { ...plain, enrol: true });
    const { labels = {} } = fixture.applier.get('/api/v1/namespaces/shop')?.metadata ?? { name: '' };
    assert.equal(labels['istio.io/use-waypoint'], 'waypoint');
    assert.equal(fixture.lines[1], '✅ namespace shop labeled with "istio.io/use-waypoint: waypoint"');
    assert.match(fixture.lines[2] ?? '', /istio\.io\/dataplane-mode=ambient/);
  });

  it('changes nothing where the namespace goes through another waypoint, unless told to', async (context) => {
    const fixture = await start(context, { 'istio.io/use-waypoint': 'other' });
    await assert.rejects(applyWaypoint(fixture.tools, { ...plain, enrol: true }), { code: 'WAYPOINT_TAKEN' });
    assert.equal(fixture.applier.get(pathOf('waypoint')), null);
    await applyWaypoint(fixture.tools, { ...plain, enrol: true, overwrite: true });
    assert.notEqual(fixture.applier.get(pathOf('waypoint')), null);
  });

  it('waits until the waypoint is ready', async (context) => {
    const fixture = await start(context);
    fixture.applier.onChange = (path, method) => {
      if (method === 'PATCH' && path === pathOf('waypoint')) fixture.applier.patch(path, programmed('True'));
    };
    await applyWaypoint(fixture.tools, { ...plain, wait: 5000 });
    assert.equal(fixture.lines[1], '✅ waypoint shop/waypoint is ready!');
  });

  it('says what its condition says when it is not ready in time', async (context) => {
    const fixture = await start(context);
    putGateway(fixture, 'waypoint', programmed('False', 'no pod is available'));
    const waited = applyWaypoint(fixture.tools, { ...plain, wait: 5000 });
    await assert.rejects(waited, { code: 'WAYPOINT_NOT_READY', message: /no pod is available/ });
  });

  it('leaves a Gateway of another class alone', async (context) => {
    const fixture = await start(context);
    putGateway(fixture, 'waypoint', { spec: { gatewayClassName: 'nginx' } });
    await assert.rejects(applyWaypoint(fixture.tools, plain), { code: 'NO_WAYPOINT' });
  });

  it('tells where the Gateway API is missing', async (context) => {
    const fixture = await startInstallFixture(context);
    await assert.rejects(applyWaypoint(fixture.tools, plain), { code: 'GATEWAY_API_ABSENT' });
  });
});

describe('ambit waypoint list', () => {
  it('works for whoever has rights in a namespace alone, and may not see classes', async (context) => {
    const fixture = await start(context);
    putGateway(fixture, 'waypoint', programmed('True'));
    putGateway(fixture, 'ingress', { spec: { gatewayClassName: 'other' } });
    const { api: all } = fixture.tools;
    const forbidden = new KubeError('forbidden', { status: 403 });
    const own: typeof all = {
      send: (request) => (request.path.endsWith('/gatewayclasses') ? Promise.reject(forbidden) : all.send(request)),
    };
    await listWaypoints({ ...fixture.tools, api: own }, 'shop');
    const [, ...rows] = fixture.lines.join('\n').split('\n');
    assert.deepEqual(
      rows.map((row) => row.split(/ {2,}/)[0]),
      ['waypoint'],
    );
  });

  it('prints the waypoints of all namespaces with Istio’s columns', async (context) => {
    const fixture = await start(context);
    const labels = { 'istio.io/waypoint-for': 'all', 'istio.io/rev': 'blue' };
    putGateway(fixture, 'b', { metadata: { name: 'b', namespace: 'shop', labels } });
    putGateway(fixture, 'a', programmed('True'));
    putGateway(fixture, 'c', { spec: { gatewayClassName: 'nginx' } });
    await listWaypoints(fixture.tools, null);
    const [headings, ...rows] = fixture.lines.join('\n').split('\n');
    assert.deepEqual(headings?.split(/ {2,}/), ['NAMESPACE', 'NAME', 'REVISION', 'TRAFFIC TYPE', 'PROGRAMMED']);
    assert.deepEqual(
      rows.map((row) => row.split(/ {2,}/)),
      [
        ['shop', 'a', 'default', 'service', 'True'],
        ['shop', 'b', 'blue', 'all', 'Unknown'],
      ],
    );
  });

  it('says that there are none', async (context) => {
    const fixture = await start(context);
    await listWaypoints(fixture.tools, 'shop');
    assert.deepEqual(fixture.lines, ['No waypoints found.']);
  });
});

describe('ambit waypoint status', () => {
  it('prints what is said of each', async (context) => {
    const fixture = await start(context);
    putGateway(fixture, 'waypoint', programmed('True', 'at an address'));
    await statusOfWaypoints(fixture.tools, { namespace: 'shop', names: [], wait: 1000 });
    const cells = fixture.lines.join('\n').split('\n');
    assert.deepEqual(
      cells.map((line) => line.split(/ {2,}/)),
      [
        ['NAME', 'STATUS', 'TYPE', 'REASON', 'MESSAGE'],
        ['waypoint', 'True', 'Programmed', 'Because', 'at an address'],
      ],
    );
  });

  it('takes no status of a former generation', async (context) => {
    const fixture = await start(context);
    const conditions = [{ type: 'Programmed', status: 'True', observedGeneration: 1 }];
    putGateway(fixture, 'a', { metadata: { name: 'a', namespace: 'shop', generation: 2 }, status: { conditions } });
    const asked = statusOfWaypoints(fixture.tools, { namespace: 'shop', names: ['a'], wait: 1000 });
    await assert.rejects(asked, { code: 'WAYPOINT_NOT_READY' });
    assert.match(fixture.lines.join('\n'), /Unknown/);
  });

  it('tells of names that are none', async (context) => {
    const fixture = await start(context);
    const asked = statusOfWaypoints(fixture.tools, { namespace: 'shop', names: ['x'], wait: null });
    await assert.rejects(asked, { code: 'NO_WAYPOINT' });
  });
});

describe('ambit waypoint delete', () => {
  it('removes those that are named, and tells of those that are not there', async (context) => {
    const fixture = await start(context);
    for (const name of ['a', 'b']) putGateway(fixture, name);
    const deleted = deleteWaypoints(fixture.tools, { namespace: 'shop', names: ['a', 'x'], revision: null });
    await assert.rejects(deleted, { code: 'NO_WAYPOINT', message: /shop\/x/ });
    assert.deepEqual(fixture.lines, ['waypoint shop/a deleted']);
    assert.equal(fixture.applier.get(pathOf('a')), null);
    assert.notEqual(fixture.applier.get(pathOf('b')), null);
  });

  it('removes all of a revision, and no Gateway that is none', async (context) => {
    const fixture = await start(context);
    const metadata = { name: 'a', namespace: 'shop', labels: { 'istio.io/rev': 'blue' } };
    putGateway(fixture, 'a', { metadata });
    putGateway(fixture, 'b');
    putGateway(fixture, 'c', { metadata: { ...metadata, name: 'c' }, spec: { gatewayClassName: 'nginx' } });
    await deleteWaypoints(fixture.tools, { namespace: 'shop', names: null, revision: 'blue' });
    assert.deepEqual(fixture.lines, ['waypoint shop/a deleted']);
  });
});

describe('the command line of waypoints', () => {
  async function run(...words: readonly string[]): Promise<{ readonly status: number; readonly output: string }> {
    let output = '';
    const write = (text: string): void => {
      output += text;
    };
    const environment = { HOME: '/nonexistent' };
    return { status: await main(words, { environment, output: write, version: '1.2.3', addon: '/none' }), output };
  }

  it('prints a Gateway without a cluster', async () => {
    const { status, output } = await run('waypoint', 'generate', '-n', 'shop', '--for', 'workload');
    assert.equal(status, 0);
    const { kind, metadata } = parse(output) as { kind: string; metadata: { labels: object } };
    assert.equal(kind, 'Gateway');
    assert.deepEqual(metadata.labels, { 'istio.io/waypoint-for': 'workload' });
  });

  it('refuses what it does not know, and a deletion of nothing or of two things', async () => {
    assert.equal((await run('waypoint', 'generate', '--for', 'everything')).status, 2);
    assert.equal((await run('waypoint', 'generate', '--name', '../x')).status, 2);
    assert.equal((await run('waypoint', 'delete')).status, 2);
    assert.equal((await run('waypoint', 'delete', 'a', '--all')).status, 2);
  });
});
