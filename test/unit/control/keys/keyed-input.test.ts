import assert from 'node:assert/strict';
import { setImmediate } from 'node:timers/promises';
import { describe, test } from 'node:test';
import type { TestContext } from 'node:test';

import { meshSettingsSchema } from '../../../../src/config/manifests/schemas/mesh-settings.ts';
import { requestAuthenticationSchema } from '../../../../src/config/manifests/schemas/request-authentication.ts';
import type { FetchedKeys } from '../../../../src/config/manifests/resources.ts';
import type { DocumentChange, DocumentChanges, MeshInput } from '../../../../src/config/mesh-input.ts';
import { KeyedInput } from '../../../../src/control/keys/keyed-input.ts';
import type { FetchKeys } from '../../../../src/control/keys/keyed-input.ts';
import { silentLogger } from '../../../support/loggers.ts';
import { ManualTimers } from '../../../support/manual-timers.ts';

const place = 'https://idp.example/keys';
const key = `keys ${place}`;

/** A KeyedInput whose documents are set by the test, and which asks the test for keys. */
class Rig {
  readonly timers = new ManualTimers();
  readonly fetched = new Map<string, FetchedKeys>();
  readonly asked: string[] = [];
  answer: FetchKeys = ({ url }) => Promise.resolve(`{"keys":["${url}"]}`);
  #deliver: (changes: DocumentChanges) => void = () => undefined;

  async start(context: TestContext, ...first: readonly DocumentChange[]): Promise<void> {
    const stop = new AbortController();
    context.after(() => {
      stop.abort();
    });
    const input: MeshInput = {
      start: (deliver) => {
        this.#deliver = deliver;
        return Promise.resolve(first);
      },
    };
    const fetch: FetchKeys = (source, allowed, signal) => {
      this.asked.push(source.url);
      return this.answer(source, allowed, signal);
    };
    const common = { timers: this.timers, random: () => 0.5, logger: silentLogger };
    await new KeyedInput({ input, fetch, ...common }).start((changes) => {
      this.#take(changes);
    }, stop.signal);
    await setImmediate();
  }

  async set(...changes: readonly DocumentChange[]): Promise<void> {
    this.#deliver(changes);
    await setImmediate();
  }

  #take(changes: DocumentChanges): void {
    for (const change of changes) {
      if (change.kind !== 'FetchedKeys') continue;
      if (change.document === null) this.fetched.delete(change.key);
      else this.fetched.set(change.key, change.document);
    }
  }
}

function authentication(namespace: string, name: string, ...uris: readonly string[]): DocumentChange {
  const document = requestAuthenticationSchema.parse({
    apiVersion: 'security.istio.io/v1',
    kind: 'RequestAuthentication',
    metadata: { name, namespace },
    spec: { jwtRules: uris.map((jwksUri) => ({ issuer: 'me', jwksUri })) },
  });
  return { kind: 'RequestAuthentication', key: `${namespace}/${name}`, document };
}

function settings(spec: object): DocumentChange {
  const document = meshSettingsSchema.parse({ apiVersion: 'ambit.dev/v1alpha1', kind: 'MeshSettings', spec });
  return { kind: 'MeshSettings', key: 'mesh', document };
}

void describe('keys that manifests name', () => {
  test('are there once they were fetched, and go with the last manifest', async (context) => {
    const rig = new Rig();
    await rig.start(context, authentication('shop', 'a', place), authentication('bank', 'b', place));
    assert.deepEqual(rig.asked, [place]);
    assert.deepEqual([...rig.fetched.keys()], [key]);
    await rig.set({ ...authentication('shop', 'a'), document: null });
    assert.ok(rig.fetched.has(key));
    await rig.set({ ...authentication('bank', 'b'), document: null });
    assert.ok(!rig.fetched.has(key));
  });

  test('stay, and are not asked for anew, whatever other setting changes', async (context) => {
    const rig = new Rig();
    await rig.start(context, authentication('shop', 'a', place));
    await rig.set(settings({ network: 'other' }));
    assert.deepEqual(rig.asked, [place]);
    assert.ok(rig.fetched.has(key));
  });

  test('stay while they are asked for anew, where the sources have changed', async (context) => {
    const rig = new Rig();
    await rig.start(context, authentication('shop', 'a', place));
    let end: (text: string) => void = () => undefined;
    rig.answer = () => new Promise((resolve) => (end = resolve));
    await rig.set(settings({ jwksSources: ['public', 'idp.example'] }));
    assert.deepEqual(rig.asked, [place, place]);
    assert.ok(rig.fetched.has(key));
    end('{"keys":["new"]}');
    await setImmediate();
    assert.deepEqual(rig.fetched.get(key), { keys: '{"keys":["new"]}' });
  });

  test('go where they cannot be had after the sources have changed', async (context) => {
    const rig = new Rig();
    await rig.start(context, authentication('shop', 'a', place));
    rig.answer = () => Promise.reject(new Error('not allowed'));
    await rig.set(settings({ jwksSources: ['192.0.2.0/24'] }));
    assert.ok(!rig.fetched.has(key));
  });

  test('stay where they cannot be had anew for another reason', async (context) => {
    const rig = new Rig();
    await rig.start(context, authentication('shop', 'a', place));
    rig.answer = () => Promise.reject(new Error('away'));
    rig.timers.advance(20 * 60_000);
    await setImmediate();
    assert.equal(rig.asked.length, 2);
    assert.ok(rig.fetched.has(key));
  });

  test('are asked for by eight at once, and two of one namespace', async (context) => {
    const rig = new Rig();
    rig.answer = () => new Promise(() => undefined);
    const uris = (prefix: string): readonly string[] => [1, 2, 3].map((index) => `https://${prefix}.example/${index}`);
    await rig.start(context, ...['a', 'b', 'c', 'd', 'e'].map((name) => authentication(name, 'x', ...uris(name))));
    assert.equal(rig.asked.length, 8);
    assert.ok(!rig.asked.some((url) => url.endsWith('/3')));
  });

  test('beyond what a namespace may have are not asked for, which is told and taken back', async (context) => {
    const rig = new Rig();
    const uris = Array.from({ length: 33 }, (_, index) => `https://idp.example/${index}`);
    const [last = ''] = uris.slice(-1);
    await rig.start(context, authentication('shop', 'a', ...uris));
    for (let round = 0; round < 40; round++) await setImmediate();
    assert.equal(rig.asked.length, 32);
    assert.match(JSON.stringify(rig.fetched.get(`keys ${last}`)), /shop names more than 32 places of keys/);
    await rig.set(authentication('shop', 'a', ...uris.slice(1)));
    for (let round = 0; round < 40; round++) await setImmediate();
    assert.match(JSON.stringify(rig.fetched.get(`keys ${last}`)), /"keys"/);
  });
});
