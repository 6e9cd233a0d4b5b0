import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { TestContext } from 'node:test';

import type { DocumentChanges } from '../../../../src/config/mesh-input.ts';
import { NamedObjects } from '../../../../src/control/kubernetes/named-objects.ts';
import type { Bounds } from '../../../../src/control/kubernetes/object-quota.ts';
import { quietObserver, startFakeCluster } from '../../../support/kube/fake-cluster.ts';
import type { FakeCluster } from '../../../support/kube/fake-cluster.ts';
import { waitFor } from '../../../support/wait.ts';

const secrets = '/api/v1/namespaces/shop/secrets';
const configMaps = '/api/v1/namespaces/shop/configmaps';
const certificate = 'Secret shop/certificate';
const fast = { interval: 2, timeout: 5000 };

interface Rig extends FakeCluster {
  readonly named: NamedObjects;
  readonly delivered: DocumentChanges[];
  /** What of each is in force, by `Kind key`. */
  readonly held: () => ReadonlyMap<string, object>;
  readonly follow: (...references: readonly string[]) => void;
  readonly put: (name: string, certificate?: string) => void;
  readonly problem: (reference?: string) => string;
  readonly abort: AbortController;
  /** How often the API server has not answered well. */
  readonly failures: () => number;
}

async function start(context: TestContext, bounds?: Bounds): Promise<Rig> {
  const cluster = await startFakeCluster(context);
  const { server } = cluster;
  for (const path of [secrets, configMaps]) server.define(path);
  const delivered: DocumentChanges[] = [];
  const abort = new AbortController();
  let failures = 0;
  const observe = () => ({ ...quietObserver(), failed: () => failures++ });
  const named = new NamedObjects({
    ...cluster,
    input: { start: () => Promise.resolve([]) },
    random: () => 0.5,
    observe,
    controlNamespace: 'mesh',
    ...(bounds === undefined ? {} : { bounds }),
  });
  context.after(async () => {
    abort.abort();
    await named.stopped();
  });
  await named.start((changes) => delivered.push(changes), abort.signal);
  const held = (): ReadonlyMap<string, object> => {
    const found = new Map<string, object>();
    for (const { kind, key, document } of delivered.flat()) {
      if (document === null) found.delete(`${kind} ${key}`);
      else found.set(`${kind} ${key}`, document);
    }
    return found;
  };
  return {
    ...cluster,
    named,
    delivered,
    held,
    abort,
    failures: () => failures,
    follow: (...references) => {
      named.follow(references.map((object) => ({ object, by: 'shop', since: 0 })));
    },
    put: (name, text = 'one') => {
      const data = { 'tls.crt': encoded(text), 'tls.key': encoded('the key') };
      server.put(secrets, name, { type: 'kubernetes.io/tls', data }, 'shop');
    },
    problem: (reference = certificate) => {
      const found = held().get(`UnreadableObject ${reference}`) as { readonly reason: string } | undefined;
      return found?.reason ?? '';
    },
  };
}

function encoded(text: string): string {
  return Buffer.from(text).toString('base64');
}

function certificateIn(rig: Rig): string {
  const document = rig.held().get(certificate) as
    { readonly data: Readonly<Record<string, { reveal: () => Buffer }>> } | undefined;
  return document?.data['tls.crt']?.reveal().toString() ?? '';
}

/** Moves the clock over the wait after so many failures. */
async function passBackOff(rig: Rig, failures = 1): Promise<void> {
  await waitFor(() => rig.failures() === failures, fast);
  rig.timers.advance(40_000);
}

describe('objects that are read by their names', () => {
  it('come when they are named, and as they change', async (context) => {
    const rig = await start(context);
    rig.put('certificate');
    rig.follow(certificate);
    await waitFor(() => certificateIn(rig) === 'one', fast);
    await waitFor(() => rig.server.openWatches === 1, fast);
    rig.put('certificate', 'two');
    await waitFor(() => certificateIn(rig) === 'two', fast);
    assert.equal(rig.problem(), '');
  });

  it('are asked for by name, one by one, and nothing else is', async (context) => {
    const rig = await start(context);
    rig.put('certificate');
    rig.put('other');
    rig.server.put(configMaps, 'roots', { data: { 'ca.crt': 'root' } }, 'shop');
    rig.follow(certificate, 'ConfigMap shop/roots');
    await waitFor(() => rig.server.openWatches === 2, fast);
    const asked = rig.server.requests.map(({ path, query }) => `${path}?${query['fieldSelector'] ?? 'everything'}`);
    assert.deepEqual([...new Set(asked)].toSorted(), [
      `${configMaps}?metadata.name=roots`,
      `${secrets}?metadata.name=certificate`,
    ]);
    assert.deepEqual([...rig.held().keys()].toSorted(), ['ConfigMap shop/roots', certificate]);
  });

  it('are told to be missing, until they are there, and again when they go', async (context) => {
    const rig = await start(context);
    rig.follow(certificate);
    await waitFor(() => rig.problem() === 'NotFound', fast);
    await waitFor(() => rig.server.openWatches === 1, fast);
    rig.put('certificate');
    await waitFor(() => certificateIn(rig) === 'one', fast);
    assert.equal(rig.problem(), '');
    rig.server.remove(secrets, 'shop/certificate');
    await waitFor(() => rig.problem() === 'NotFound', fast);
    assert.equal(certificateIn(rig), '');
  });

  it('are told to be forbidden, with the right that would do, until they are not', async (context) => {
    const rig = await start(context);
    rig.put('certificate');
    rig.server.fault('list', { kind: 'status', status: 403, reason: 'Forbidden' });
    rig.follow(certificate);
    await waitFor(() => rig.problem() === 'Forbidden', fast);
    const { message = '' } = rig.held().get(`UnreadableObject ${certificate}`) as { readonly message?: string };
    assert.match(message, /may not read Secret shop\/certificate: .*Role in shop .*secrets.*\[certificate\].*in mesh/);
    await passBackOff(rig);
    await waitFor(() => certificateIn(rig) === 'one', fast);
    assert.equal(rig.problem(), '');
  });

  it('stay while they are refused that were allowed before, and this is told', async (context) => {
    const rig = await start(context);
    rig.put('certificate');
    rig.follow(certificate);
    await waitFor(() => rig.server.openWatches === 1, fast);
    rig.server.fault('watch', { kind: 'status', status: 403, reason: 'Forbidden' });
    rig.server.resetWatches();
    await waitFor(() => rig.server.openWatches === 0, fast);
    await passBackOff(rig);
    await waitFor(() => rig.problem() === 'Forbidden', fast);
    assert.equal(certificateIn(rig), 'one');
    await passBackOff(rig, 2);
    await waitFor(() => rig.problem() === '', fast);
  });

  it('stay while the API server is away, and are followed after it', async (context) => {
    const rig = await start(context);
    rig.put('certificate');
    rig.follow(certificate);
    await waitFor(() => rig.server.openWatches === 1, fast);
    rig.server.resetWatches();
    await waitFor(() => rig.server.openWatches === 0, fast);
    rig.put('certificate', 'two');
    assert.equal(certificateIn(rig), 'one');
    await passBackOff(rig);
    await waitFor(() => certificateIn(rig) === 'two', fast);
  });

  it('are neither there nor missing before the API server has answered', async (context) => {
    const rig = await start(context);
    rig.server.fault('list', { kind: 'reset' });
    rig.follow(certificate);
    await waitFor(() => rig.failures() === 1, fast);
    assert.equal(rig.held().size, 0);
    await passBackOff(rig);
    await waitFor(() => rig.problem() === 'NotFound', fast);
  });

  it('are forgotten with whoever named them', async (context) => {
    const rig = await start(context);
    rig.put('certificate');
    rig.follow(certificate, 'Secret shop/missing');
    await waitFor(() => certificateIn(rig) === 'one' && rig.problem('Secret shop/missing') !== '', fast);
    await waitFor(() => rig.server.openWatches === 2, fast);
    rig.follow();
    assert.equal(rig.held().size, 0);
    assert.equal(rig.named.size, 0);
    await waitFor(() => rig.server.openWatches === 0, fast);
    rig.put('certificate', 'two');
    assert.equal(rig.held().size, 0);
  });

  it('that cannot be read are told without what stands in them', async (context) => {
    const rig = await start(context);
    rig.put('certificate');
    rig.follow(certificate);
    await waitFor(() => rig.server.openWatches === 1, fast);
    const data = { 'tls.crt': encoded('one'), 'tls.key': 'hush! not base64' };
    rig.server.put(secrets, 'certificate', { type: 'kubernetes.io/tls', data }, 'shop');
    await waitFor(() => rig.problem() === 'Invalid', fast);
    assert.equal(certificateIn(rig), '', 'of what is broken nothing stays in force');
    assert.doesNotMatch(JSON.stringify(rig.delivered), /hush/);
    rig.server.remove(secrets, 'shop/certificate');
    await waitFor(() => rig.problem() === 'NotFound', fast);
  });

  it('are no more than a bound, until there is room', async (context) => {
    const rig = await start(context, { inAll: 3, ofNamespace: 2 });
    rig.put('certificate');
    rig.follow(certificate, 'Secret shop/b', 'Secret shop/d');
    assert.equal(rig.problem('Secret shop/d'), 'TooMany');
    assert.equal(rig.named.size, 2);
    rig.follow(certificate, 'Secret shop/d');
    assert.notEqual(rig.problem('Secret shop/d'), 'TooMany');
    await waitFor(() => certificateIn(rig) === 'one', fast);
  });

  it('are not asked for all at once', async (context) => {
    const rig = await start(context);
    const names = Array.from({ length: 40 }, (_unused, index) => `Secret shop/s${index}`);
    rig.server.fault('list', ...names.map(() => ({ kind: 'silence' }) as const));
    rig.follow(...names);
    await waitFor(() => rig.server.requests.length === 16, fast);
    rig.follow(...names.slice(0, 20));
    assert.equal(rig.server.requests.length, 16);
  });

  it('all come, however many are named', async (context) => {
    const rig = await start(context);
    const names = Array.from({ length: 40 }, (_unused, index) => `s${index}`);
    for (const name of names) rig.put(name);
    rig.follow(...names.map((name) => `Secret shop/${name}`));
    await waitFor(() => rig.held().size === 40, fast);
  });

  for (const reference of ['Secret shop/../bank', 'Secret shop/a/b', 'Secret Shop/a', 'Pod shop/a', 'Secret shop']) {
    it(`are not ${reference}, which can be no name`, async (context) => {
      const rig = await start(context);
      rig.follow(reference);
      assert.equal(rig.named.size, 0);
      assert.equal(rig.server.requests.length, 0);
    });
  }

  it('are waited for until each was asked for, and no longer than so', async (context) => {
    const rig = await start(context);
    rig.put('certificate');
    rig.server.fault('list', { kind: 'status', status: 403, reason: 'Forbidden' });
    rig.follow(certificate, 'Secret shop/forbidden');
    await rig.named.answered(60_000, rig.abort.signal);
    assert.equal([...rig.held().values()].length, 2);
    rig.server.fault('list', { kind: 'silence' });
    rig.follow('Secret shop/silent');
    const waited = rig.named.answered(1000, rig.abort.signal);
    rig.timers.advance(1000);
    await waited;
    assert.equal(rig.problem('Secret shop/silent'), '');
  });

  it('are followed no more after the end', async (context) => {
    const rig = await start(context);
    rig.put('certificate');
    rig.follow(certificate);
    await waitFor(() => rig.server.openWatches === 1, fast);
    rig.abort.abort();
    await rig.named.stopped();
    rig.follow('Secret shop/late');
    assert.equal(rig.named.size, 1);
  });
});
