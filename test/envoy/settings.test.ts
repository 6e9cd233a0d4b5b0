import assert from 'node:assert/strict';
import { test } from 'node:test';

import { defaultHttpSettings } from '../../src/envoy/model.ts';
import type { HttpSettings } from '../../src/envoy/model.ts';
import { destination, endpoint, input, port, service } from '../support/envoy/inputs.ts';
import { ask } from '../support/envoy/requests.ts';
import { httpServer } from '../support/envoy/servers.ts';
import { envoySuite } from '../support/envoy/suite.ts';

const vip = '10.96.7.1';

/** What the server sees of one path that each level reads further. */
const asked = '/x/../a//b%2Fc';
const levels: Readonly<Record<HttpSettings['pathNormalization'], string>> = {
  none: asked,
  base: '/a//b%2Fc',
  'merge-slashes': '/a/b%2Fc',
  'decode-and-merge-slashes': '/a/b/c',
};

for (const [level, seen] of Object.entries(levels) as [HttpSettings['pathNormalization'], string][])
  envoySuite(
    `a waypoint with path normalization ${level}`,
    async () => ({ web: await httpServer('web') }),
    ({ web }) =>
      input({
        services: [service('web', vip, port(80, 'http1'))],
        destinations: [destination('web', 80, 'http1', [endpoint('10.0.0.1', web.port)])],
        http: { ...defaultHttpSettings, pathNormalization: level, headers: { kibibytes: 8, count: 12 } },
      }),
    (waypoint) => {
      const request = async (path: string, headers: Readonly<Record<string, string>> = {}) =>
        (await ask(await waypoint().envoy.connect(vip, 80), { path, headers })).status;

      test(`sends on ${asked} as ${seen}`, async () => {
        assert.equal(await request(asked), 200);
        assert.equal(waypoint().servers.web.seen.at(-1)?.path, seen);
      });

      if (level !== 'none') return;
      test('takes no more headers than it may, nor longer ones', async () => {
        const many = Object.fromEntries(Array.from({ length: 20 }, (_, index) => [`x-${index}`, 'y']));
        assert.deepEqual([await request('/', many), await request('/', { x: 'y'.repeat(9_000) })], [431, 431]);
        assert.equal(await request('/', { x: 'y'.repeat(4_000) }), 200);
      });
    },
  );
