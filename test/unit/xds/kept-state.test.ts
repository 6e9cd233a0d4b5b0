import assert from 'node:assert/strict';
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import type { TestContext } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { AnySchema } from '@bufbuild/protobuf/wkt';
import fc from 'fast-check';
import { errorCode } from '../../../src/config/errors.ts';
import { typeUrls } from '../../../src/wds/names.ts';
import { loadKeptState, saveKeptState } from '../../../src/xds/kept-state.ts';
import type { KeptHeader, KeptResource } from '../../../src/xds/kept-state.ts';
import { decodeResource, encodeResource } from '../../../src/xds/resources.ts';
import type { MeshResource } from '../../../src/xds/resources.ts';
import { anyState } from '../../support/mesh-arbitraries.ts';

const header: KeptHeader = {
  node: 'node-1',
  clusterId: 'Kubernetes',
  version: '1',
  control: 'control:15012',
  own: true,
  onDemand: true,
  addresses: ['10.0.0.1', 'fd00::1'],
  asOf: 1_700_000_000_000,
};
const resource: KeptResource = {
  typeUrl: typeUrls.address,
  name: 'Kubernetes//Pod/default/a',
  version: 'v1',
  value: Uint8Array.of(1, 2, 3),
};

function newPath(context: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'ambit-kept-'));
  context.after(() => {
    rmSync(folder, { recursive: true });
  });
  return join(folder, 'state', 'control-state');
}

async function load(path: string): Promise<{ header: KeptHeader; resources: KeptResource[] } | null> {
  const kept = await loadKeptState(path);
  if (kept === null) return null;
  const resources: KeptResource[] = [];
  for await (const each of kept.resources) resources.push({ ...each, value: Uint8Array.from(each.value) });
  return { header: kept.header, resources };
}

const isUnusable = (error: unknown): boolean => errorCode(error) === 'KEPT_STATE_UNUSABLE';

suite('kept state', () => {
  test('is nothing at first', async (context) => {
    assert.equal(await load(newPath(context)), null);
  });

  test('comes back as it was, and is for its owner alone', async (context) => {
    const path = newPath(context);
    await saveKeptState(path, header, [resource]);
    assert.deepEqual(await load(path), { header, resources: [resource] });
    assert.equal(statSync(path).mode & 0o777, 0o600);
  });

  test('is replaced as a whole: a writing that fails leaves the former one and no draft', async (context) => {
    const path = newPath(context);
    await saveKeptState(path, header, [resource]);
    const failing = (function* (): Generator<KeptResource> {
      yield resource;
      throw new Error('broken');
    })();
    await assert.rejects(
      saveKeptState(path, header, failing),
      (error: unknown) => errorCode(error) === 'KEPT_STATE_UNWRITABLE',
    );
    assert.deepEqual(await load(path), { header, resources: [resource] });
    assert.deepEqual(readdirSync(join(path, '..')), ['control-state']);
  });

  test('that somebody else could have written is not believed', async (context) => {
    const path = newPath(context);
    await saveKeptState(path, header, [resource]);
    chmodSync(path, 0o620);
    await assert.rejects(load(path), isUnusable);
  });

  test('of another form is not read', async (context) => {
    const path = newPath(context);
    await saveKeptState(path, header, [resource]);
    writeFileSync(path, 'ambit-control-state 2\nwhatever comes after');
    await assert.rejects(load(path), /another form/);
  });

  test('with any damage is not read', async (context) => {
    const path = newPath(context);
    await saveKeptState(path, header, [resource]);
    const bytes = readFileSync(path);
    const damage = fc.oneof(
      fc.record({ at: fc.nat({ max: bytes.length - 1 }), bit: fc.nat({ max: 7 }) }).map(({ at, bit }) => {
        const copy = Buffer.from(bytes);
        copy[at] = (copy[at] ?? 0) ^ (1 << bit);
        return copy;
      }),
      fc.nat({ max: bytes.length - 1 }).map((length) => bytes.subarray(0, length)),
      fc.uint8Array({ minLength: 1, maxLength: 40 }).map((more) => Buffer.concat([bytes, more])),
    );
    await fc.assert(
      fc.asyncProperty(damage, async (damaged) => {
        writeFileSync(path, damaged);
        await assert.rejects(load(path), isUnusable);
      }),
      { numRuns: 150 },
    );
    assert.ok(existsSync(path));
  });
});

test('whatever a state holds is written as it is read', () => {
  fc.assert(
    fc.property(anyState, (state) => {
      const resources: MeshResource[] = [
        { kind: 'settings', key: 'mesh', value: state.settings },
        ...[...state.policies].map(([key, value]) => ({ kind: 'policy' as const, key, value })),
        ...[...state.workloads].map(([key, value]) => ({ kind: 'workload' as const, key, value })),
        ...[...state.services].map(([key, value]) => ({ kind: 'service' as const, key, value })),
        ...[...state.localPods].map(([key, value]) => ({ kind: 'pod' as const, key, value })),
      ];
      const types = {
        settings: typeUrls.meshSettings,
        policy: typeUrls.authorization,
        workload: typeUrls.address,
        service: typeUrls.address,
        pod: typeUrls.localPod,
      };
      for (const each of resources) {
        const typeUrl = types[each.kind];
        const { value, problems } = decodeResource(
          typeUrl,
          create(AnySchema, { typeUrl, value: encodeResource(each, state.settings.network) }),
          state.settings.network,
        );
        assert.deepEqual([value, problems], [each, []]);
      }
    }),
    { numRuns: 60 },
  );
});
