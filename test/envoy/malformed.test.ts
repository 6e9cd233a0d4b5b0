import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { ControlHarness } from '../support/control.ts';
import { DiscoveringEnvoy } from '../support/envoy/discovering-envoy.ts';
import { envoyBinary } from '../support/envoy/envoy-process.ts';
import { malformedDocuments } from '../support/envoy/malformed-documents.ts';
import { waypointCredentials } from '../support/envoy/waypoint-credentials.ts';
import {
  appPod,
  httpRoute,
  httpService,
  waypointGateway,
  waypointNamespace,
  waypointPod,
} from '../support/waypoint-mesh.ts';
import { waitFor } from '../support/wait.ts';

interface Status {
  readonly resource: string;
  readonly type: string;
  readonly reason: string;
  readonly message: string;
}

const services = malformedDocuments.map((_, index) => `s${index}`);
const address = (index: number, block: number): string => `10.${block}.${Math.floor(index / 200)}.${(index % 200) + 1}`;
const base = [
  waypointNamespace('shop'),
  waypointGateway('shop'),
  waypointPod('shop', '10.0.0.9'),
  ...['web', ...services].flatMap((name, index) => [
    httpService('shop', name, address(index, 2)),
    appPod('shop', name, address(index, 3)),
  ]),
];
const malformed = malformedDocuments.map(({ manifest }, index) => manifest(services[index] ?? ''));
const routes = (service: string): string => `inbound-vip|80|http|${service}.shop.svc.cluster.local`;

const nameOf = (what: string, index: number): string =>
  `${what.slice(0, what.indexOf(':'))} shop/${services[index] ?? ''}`;

describe('documents that ask for what cannot be', { timeout: 240_000 }, () => {
  let control: ControlHarness;
  let envoy: DiscoveringEnvoy;
  let told: readonly Status[] = [];

  before(async () => {
    await envoyBinary();
    control = await ControlHarness.start(base);
    const credentials = await waypointCredentials(control);
    envoy = await DiscoveringEnvoy.start({ port: control.ports.xds, credentials, cluster: 'shop/waypoint' });
    const all = async (): Promise<boolean> => (await envoy.names()).routes.length === services.length + 1;
    await waitFor(all, { what: 'the routes of all services', timeout: 60_000 });
    for (const [index, manifest] of malformed.entries()) await control.manifests.write(`bad-${index}`, [manifest]);
    await control.manifests.write('last', [httpRoute('shop', 'last', 'web', 'web')]);
    const isThere = async (): Promise<boolean> => (await envoy.page('/config_dump')).includes('shop/last');
    await waitFor(isThere, { what: 'the route that was written last', timeout: 60_000 });
    const isTold = async (): Promise<boolean> => {
      told = (await (await fetch(`${control.debug}/debug/status`)).json()) as readonly Status[];
      return told.some(({ type }) => type === 'Programmed');
    };
    await waitFor(isTold, { what: 'what Envoy has refused' });
  });

  after(async () => {
    await envoy.stop();
    await control.stop();
  });

  /** What is said of a document, and why nothing of it is in force. */
  function messagesOf(name: string): readonly string[] {
    const lines = control.log.map((line) => JSON.parse(line) as Partial<Status>);
    return [...told, ...lines].flatMap(({ resource, message }) =>
      resource === name && message !== undefined ? [message] : [],
    );
  }

  test('leave nothing that Envoy refuses', () => {
    const known = malformedDocuments.flatMap(({ what, onlyEnvoyKnows }, index) =>
      onlyEnvoyKnows === true ? [nameOf(what, index), `Service shop/${services[index] ?? ''}`] : [],
    );
    const refused = told.filter(({ type, resource }) => type === 'Programmed' && !known.includes(resource));
    assert.deepEqual(refused, []);
  });

  test('keep no service from being there', async () => {
    const names = await envoy.names();
    assert.deepEqual(names.routes, ['web', ...services].map(routes).sort());
    assert.deepEqual(
      names.clusters.filter((name) => !name.includes('/')),
      names.routes,
    );
    assert.deepEqual(names.listeners, ['waypoint']);
  });

  for (const [index, { what, told: expected }] of malformedDocuments.entries()) {
    if (expected === null) continue;
    test(`are told of: ${what}`, () => {
      const name = nameOf(what, index);
      const messages = messagesOf(name);
      assert.ok(
        messages.some((message) => expected.test(message)),
        `${name}: ${messages.join('; ') || 'nothing'}`,
      );
    });
  }
});
