import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';

import { parseManifests } from '../../../src/config/manifests/parse.ts';
import { changesBetween, nextState } from '../../../src/config/manifests/store.ts';
import type { DocumentChanges } from '../../../src/config/mesh-input.ts';
import { KeptAddresses } from '../../../src/process/kept-addresses.ts';
import { recordingLogger } from '../../support/loggers.ts';

async function temporaryFolder(context: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'ambit-addresses-'));
  context.after(() => rm(folder, { recursive: true }));
  return folder;
}

function entries(...names: readonly string[]): DocumentChanges {
  const text = names
    .map((name) =>
      JSON.stringify({
        apiVersion: 'networking.istio.io/v1',
        kind: 'ServiceEntry',
        metadata: { name, namespace: 'shop' },
        spec: { hosts: [`${name}.example.com`], resolution: 'DNS' },
      }),
    )
    .join('\n---\n');
  const { state } = nextState(new Map(), [parseManifests('m.yaml', text)]);
  return changesBetween(new Map(), state);
}

function chosen(changes: DocumentChanges): ReadonlyMap<string, readonly string[]> {
  return new Map(
    changes.flatMap((change) =>
      change.kind === 'ServiceEntry' && change.document !== null
        ? [[change.key, change.document.status.addresses.map(({ value }) => value)] as const]
        : [],
    ),
  );
}

const removal = (key: string): DocumentChanges => [{ kind: 'ServiceEntry', key, document: null }];

test('hosts of manifests get addresses, and the same after a restart', async (context) => {
  const folder = await temporaryFolder(context);
  const { logger } = recordingLogger();
  const first = new KeptAddresses(folder, logger);
  const before = chosen(first.complete(entries('a', 'b')));
  assert.deepEqual(
    [...before.values()].map(({ length }) => length),
    [2, 2],
  );
  const again = chosen(new KeptAddresses(folder, logger).complete(entries('b', 'a', 'c')));
  assert.deepEqual([again.get('shop/a'), again.get('shop/b')], [before.get('shop/a'), before.get('shop/b')]);
  assert.equal((await stat(join(folder, 'addresses.json'))).mode & 0o777, 0o600);
});

test('what is kept is kept, and not worked out anew', async (context) => {
  const folder = await temporaryFolder(context);
  const { logger } = recordingLogger();
  const kept = [{ host: 'a.example.com', value: '240.240.9.9' }];
  await writeFile(join(folder, 'addresses.json'), JSON.stringify({ version: 1, entries: { 'shop/a': kept } }));
  const found = chosen(new KeptAddresses(folder, logger).complete(entries('a'))).get('shop/a');
  assert.equal(found?.[0], '240.240.9.9');
});

test('an entry that goes gives its addresses back, and others are left alone', async (context) => {
  const folder = await temporaryFolder(context);
  const addresses = new KeptAddresses(folder, recordingLogger().logger);
  addresses.complete(entries('a', 'b'));
  assert.deepEqual(addresses.complete(removal('shop/a')), removal('shop/a'));
  assert.doesNotMatch(await readFile(join(folder, 'addresses.json'), 'utf8'), /a\.example\.com/);
});

test('a file that cannot be read is told of, and costs no start', async (context) => {
  const folder = await temporaryFolder(context);
  await writeFile(join(folder, 'addresses.json'), 'no');
  const { logger, records } = recordingLogger();
  assert.equal(chosen(new KeptAddresses(folder, logger).complete(entries('a'))).size, 1);
  assert.equal(records.length, 1);
});

test('without a folder addresses follow from the names alone', () => {
  const { logger } = recordingLogger();
  const [one, other] = [1, 2].map(() => chosen(new KeptAddresses(null, logger).complete(entries('a', 'b'))));
  assert.deepEqual(one, other);
});

test('other documents go through as they are', () => {
  const changes = removal('shop/a').map((change) => ({ ...change, kind: 'Service' as const }));
  assert.equal(new KeptAddresses(null, recordingLogger().logger).complete(changes as DocumentChanges), changes);
});
