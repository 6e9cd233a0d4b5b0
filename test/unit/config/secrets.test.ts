import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { inspect, isDeepStrictEqual } from 'node:util';
import { stringify } from 'yaml';
import { Concealed } from '../../../src/config/manifests/concealed.ts';
import { loadKept, saveKept } from '../../../src/config/manifests/kept.ts';
import { parseManifests } from '../../../src/config/manifests/parse.ts';
import { formatProblem } from '../../../src/config/manifests/resources.ts';
import type { SecretDocument } from '../../../src/config/manifests/schemas/secret.ts';
import { ManifestSource } from '../../../src/config/manifests/source.ts';
import { changesBetween, nextState } from '../../../src/config/manifests/store.ts';
import { systemTimers } from '../../../src/timing/timers.ts';

const password = 'hunter2-of-the-shop';
const encoded = Buffer.from(password).toString('base64');

function secret(fields: object, metadata: object = {}): string {
  return stringify({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'web', namespace: 'shop', ...metadata },
    ...fields,
  });
}

function read(text: string): { document: SecretDocument | null; messages: string; everything: string } {
  const file = parseManifests('m.yaml', text);
  const [found] = file.documents;
  const problems = [...file.problems, ...file.documents.flatMap((document) => document.problems)];
  return {
    document: found?.resource?.kind === 'Secret' ? found.resource.document : null,
    messages: problems.map(formatProblem).join('\n'),
    everything: `${JSON.stringify(file)} ${inspect(file, { depth: 20, showHidden: true })}`,
  };
}

/** Neither as it is, nor as it was written. */
function assertSilent(text: string): void {
  assert.ok(!text.includes(password) && !text.includes(encoded) && !text.includes(encoded.slice(0, 12)), text);
}

void describe('a Secret', () => {
  test('is kept as far as gateways use it', () => {
    const { document, messages } = read(
      secret({ type: 'kubernetes.io/tls', data: { 'tls.crt': encoded, 'tls.key': encoded, other: encoded } }),
    );
    assert.equal(messages, '');
    assert.deepEqual(Object.keys(document?.data ?? {}), ['tls.crt', 'tls.key']);
    assert.equal(document?.data['tls.key']?.reveal().toString(), password);
  });

  test('may be written in plain text, which counts before the other', () => {
    const { document } = read(secret({ stringData: { key: password, cert: 'a' }, data: { cert: encoded } }));
    assert.equal(document?.type, 'Opaque');
    assert.equal(document.data.cert?.reveal().toString(), 'a');
    assert.equal(document.data.key?.reveal().toString(), password);
  });

  test('of a type that holds no certificates is there, and nothing else is known of it', () => {
    const { document } = read(secret({ type: 'kubernetes.io/dockerconfigjson', data: { 'tls.key': encoded } }));
    assert.deepEqual(document?.data, {});
  });

  test('of folded base64 is read', () => {
    const folded = encoded.replace(/(.{8})/g, '$1\n');
    assert.equal(
      read(secret({ data: { key: folded } }))
        .document?.data.key?.reveal()
        .toString(),
      password,
    );
  });

  test('does not keep its annotations, where kubectl has a copy of it', () => {
    const annotations = {
      'kubectl.kubernetes.io/last-applied-configuration': JSON.stringify({ data: { key: encoded } }),
    };
    const { document, everything } = read(secret({ data: { key: encoded } }, { annotations }));
    assert.deepEqual(document?.metadata, { name: 'web', namespace: 'shop' });
    assertSilent(everything);
  });

  const broken: readonly [string, string][] = [
    ['base64 that is none', secret({ data: { 'tls.key': `${encoded}!` } })],
    ['half of base64', secret({ data: { 'tls.key': encoded.slice(0, -3) } })],
    ['data that is a list', secret({ data: [encoded] })],
    ['data that is a text', secret({ data: encoded })],
    ['a value that is an object', secret({ data: { 'tls.key': { value: encoded } } })],
    ['a type that is an object', secret({ type: { value: password } })],
    ['a bad name', secret({ data: { 'tls.key': encoded } }, { name: 'A' })],
    ['a key that ends at once', `${secret({ data: { a: 'b' } })}  tls.key: |\n${password}\n`],
    [
      'a key over several lines',
      `apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData:\n  key: "${password}\n${password}`,
    ],
    ['a key in brackets', `apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: {key: ${password}]\n`],
    [
      'a key that stands alone',
      `apiVersion: v1\nkind: Secret\nmetadata: {name: a}\n${password}\nstringData: {}\n${password}\n`,
    ],
    ['a key after the end', `apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: {a: b} ${password}\n`],
    ['a key that begins with a sign', `apiVersion: v1\nkind: Secret\nstringData:\n  key: @${password}\n`],
    [
      'a key with an escape that is none',
      `apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData:\n  key: "\\u${password}"\n`,
    ],
    [
      'a key after the sign of a block',
      `apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData:\n  key: |${password}\n    x\n`,
    ],
    [
      'a key that is taken for an alias',
      `apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData:\n  key: *${password}\n`,
    ],
  ];
  for (const [what, text] of broken) {
    test(`with ${what} is told without a word of what is in it`, () => {
      const { document, messages, everything } = read(text);
      assert.equal(document, null);
      assert.notEqual(messages, '');
      assertSilent(messages);
      assertSilent(everything);
    });
  }

  test('that is good is nowhere shown by what dumps documents', () => {
    assertSilent(read(secret({ data: { 'tls.key': encoded } })).everything);
  });

  test('that has changed is another one, and the same again is not', () => {
    const state = (value: string, before = new Map()) =>
      nextState(before, [parseManifests('m.yaml', secret({ stringData: { key: value } }))]).state;
    const first = state('a');
    assert.deepEqual(changesBetween(first, state('a', new Map(first))), []);
    const [change] = changesBetween(first, state('b', new Map(first)));
    assert.equal(change?.kind, 'Secret');
    const [before, after] = [new Concealed(Buffer.from('a')), new Concealed(Buffer.from('b'))];
    assert.ok(!isDeepStrictEqual(before, after));
    assert.ok(isDeepStrictEqual(before, new Concealed(Buffer.from('a'))));
  });

  test('is not written into the state folder', async (context) => {
    const folder = await mkdtemp(join(tmpdir(), 'ambit-secret-'));
    context.after(() => rm(folder, { recursive: true }));
    const other = stringify({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } });
    const { state } = nextState(new Map(), [
      parseManifests('m.yaml', `${secret({ data: { key: encoded } })}---\n${other}`),
    ]);
    assert.equal(state.size, 2);
    await saveKept(folder, state);
    assertSilent(await readFile(join(folder, 'manifests.json'), 'utf8'));
    assert.deepEqual([...((await loadKept(folder)) ?? new Map()).keys()], ['Namespace/shop']);
  });

  test('is rotated by a new version of its file', async (context) => {
    const folder = await mkdtemp(join(tmpdir(), 'ambit-secret-'));
    context.after(() => rm(folder, { recursive: true }));
    const stop = new AbortController();
    context.after(() => {
      stop.abort();
    });
    // A source's own timers keep no process alive.
    const alive = setInterval(() => undefined, 1000);
    context.after(() => {
      clearInterval(alive);
    });
    const path = join(folder, 'm.yaml');
    await writeFile(path, secret({ stringData: { key: 'a' } }));
    const updated = new Promise<string>((resolve) => {
      const source = new ManifestSource({
        path,
        stateDir: null,
        pollInterval: 50,
        timers: systemTimers,
        onUpdate: ({ changes: [change] }) => {
          if (change?.kind === 'Secret') resolve(change.document?.data.key?.reveal().toString() ?? '');
        },
      });
      void source.start(stop.signal).then(() => writeFile(path, secret({ stringData: { key: 'b' } })));
    });
    assert.equal(await updated, 'b');
  });
});

void describe('a ConfigMap', () => {
  const text = stringify({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'roots', annotations: { a: password } },
    data: { 'ca.crt': 'x', 'application.yaml': password },
  });

  test('is kept as far as gateways use it', () => {
    const file = parseManifests('m.yaml', text);
    const [document] = file.documents;
    assert.deepEqual(document?.resource?.document, {
      metadata: { name: 'roots', namespace: 'default' },
      data: { 'ca.crt': 'x' },
    });
    assertSilent(JSON.stringify(file));
  });

  test('is there again after a restart', async (context) => {
    const folder = await mkdtemp(join(tmpdir(), 'ambit-secret-'));
    context.after(() => rm(folder, { recursive: true }));
    const { state } = nextState(new Map(), [parseManifests('m.yaml', text)]);
    await saveKept(folder, state);
    const kept = await loadKept(folder);
    assert.deepEqual(kept?.get('ConfigMap/default/roots')?.resource, state.get('ConfigMap/default/roots')?.resource);
  });
});
