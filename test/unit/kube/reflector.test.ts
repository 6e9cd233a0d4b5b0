import assert from 'node:assert/strict';
import { test } from 'node:test';

import { describeError } from '../../../src/config/errors.ts';
import { collection, Reflected } from '../../support/kube/reflected.ts';
import { waitFor } from '../../support/wait.ts';

const fast = { interval: 2, timeout: 5000 };

async function watching(reflected: Reflected): Promise<void> {
  await waitFor(() => reflected.reflector.state === 'watching' && reflected.server.openWatches === 1, fast);
}

async function tells(reflected: Reflected, expected: Readonly<Record<string, string>>): Promise<void> {
  const seen = (): boolean => JSON.stringify(reflected.told) === JSON.stringify(expected);
  await waitFor(seen, { ...fast, what: `${JSON.stringify(expected)} instead of what was told` });
}

/** Moves the clock over a wait after a failure. */
async function passBackOff(reflected: Reflected, failures = 1): Promise<void> {
  await waitFor(() => reflected.failures.length >= failures, fast);
  await waitFor(() => reflected.reflector.state === 'backoff', fast);
  reflected.timers.advance(40_000);
}

test('tells what is there, then what comes, changes and goes', async (context) => {
  const reflected = await Reflected.start(context);
  reflected.server.put(collection, 'a', { text: 'one' }, 'default');
  reflected.run();
  await reflected.reflector.synced;
  assert.deepEqual(reflected.told, { 'default/a': 'one' });
  await watching(reflected);
  reflected.server.put(collection, 'b', { text: 'two' });
  reflected.server.put(collection, 'a', { text: 'three' }, 'default');
  await tells(reflected, { b: 'two', 'default/a': 'three' });
  reflected.server.remove(collection, 'b');
  await tells(reflected, { 'default/a': 'three' });
});

test('lists by pages, and watches from the version of the list', async (context) => {
  const reflected = await Reflected.start(context);
  for (let index = 0; index < 1201; index++) reflected.server.put(collection, `n${index}`, { text: 'x' });
  reflected.run();
  await reflected.reflector.synced;
  assert.equal(reflected.pages, 3);
  assert.equal(reflected.reflector.size, 1201);
  await watching(reflected);
  const watch = reflected.server.requests.find(({ kind }) => kind === 'watch');
  assert.deepEqual(watch?.query, {
    watch: 'true',
    allowWatchBookmarks: 'true',
    resourceVersion: '1301',
    timeoutSeconds: '440',
  });
});

test('asks with the selectors and the token', async (context) => {
  const reflected = await Reflected.start(context, { selectors: { fieldSelector: 'spec.nodeName=here' } });
  reflected.run();
  await watching(reflected);
  for (const { query, authorization } of reflected.server.requests) {
    assert.equal(query['fieldSelector'], 'spec.nodeName=here');
    assert.equal(authorization, 'Bearer secret');
  }
});

test('a list that expires between two pages is asked for again in one piece', async (context) => {
  const reflected = await Reflected.start(context);
  for (let index = 0; index < 600; index++) reflected.server.put(collection, `n${index}`);
  const list = reflected.client.send.bind(reflected.client);
  reflected.client.send = (request) => {
    if (typeof request.query?.['continue'] === 'string') {
      reflected.server.fault('list', { kind: 'status', status: 410, reason: 'Expired' });
    }
    return list(request);
  };
  reflected.run();
  await passBackOff(reflected);
  await reflected.reflector.synced;
  assert.equal(reflected.reflector.size, 600);
  assert.equal(reflected.pages, 1);
});

for (const [name, fault] of [
  ['a reset', { kind: 'reset' }],
  ['a 500', { kind: 'status', status: 500 }],
  ['a 403', { kind: 'status', status: 403, reason: 'Forbidden' }],
  ['what is no JSON', { kind: 'text', text: 'garbage' }],
  ['what is no list', { kind: 'text', text: '{}' }],
] as const) {
  test(`goes on after ${name} for the list`, async (context) => {
    const reflected = await Reflected.start(context);
    reflected.server.put(collection, 'a', { text: 'one' });
    reflected.server.fault('list', fault, fault);
    reflected.run();
    await passBackOff(reflected, 1);
    await passBackOff(reflected, 2);
    await reflected.reflector.synced;
    assert.deepEqual(reflected.told, { a: 'one' });
    assert.equal(reflected.recoveries, 1);
  });
}

for (const [name, fault] of [
  ['a reset', { kind: 'reset' }],
  ['a 500', { kind: 'status', status: 500 }],
  ['an ERROR event', { kind: 'text', text: '{"type":"ERROR","object":{"kind":"Status","code":500}}\n' }],
  ['half a line', { kind: 'text', text: '{"type":"ADDED","object":{"metadata":{"na' }],
  ['garbage', { kind: 'text', text: 'garbage\n' }],
  ['an event without an object', { kind: 'text', text: '{"type":"ADDED"}\n' }],
  ['nothing at all', { kind: 'text', text: '' }],
] as const) {
  test(`goes on after ${name} for the watch, without another list`, async (context) => {
    const reflected = await Reflected.start(context);
    reflected.server.fault('watch', fault);
    reflected.run();
    await passBackOff(reflected);
    await watching(reflected);
    reflected.server.put(collection, 'a', { text: 'one' });
    await tells(reflected, { a: 'one' });
    assert.equal(reflected.lists, 1);
  });
}

test('what happened while a watch was broken is told after it', async (context) => {
  const reflected = await Reflected.start(context);
  reflected.server.put(collection, 'a', { text: 'one' });
  reflected.run();
  await watching(reflected);
  reflected.server.resetWatches();
  await waitFor(() => reflected.reflector.state === 'backoff', fast);
  reflected.server.put(collection, 'b', { text: 'two' });
  reflected.server.remove(collection, 'a');
  reflected.timers.advance(40_000);
  await tells(reflected, { b: 'two' });
  assert.equal(reflected.lists, 1);
});

for (const [name, expire] of [
  [
    'a status',
    (reflected: Reflected): void => {
      reflected.server.forgetHistory();
    },
  ],
  [
    'an event',
    (reflected: Reflected): void => {
      reflected.server.fault('watch', {
        kind: 'text',
        text: '{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired"}}\n',
      });
    },
  ],
] as const) {
  test(`a version that is too old, told by ${name}, leads to a list whose difference is told`, async (context) => {
    const reflected = await Reflected.start(context);
    reflected.server.put(collection, 'stays', { text: 'one' });
    reflected.server.put(collection, 'goes', { text: 'two' });
    reflected.run();
    await watching(reflected);
    reflected.server.resetWatches();
    await waitFor(() => reflected.reflector.state === 'backoff', fast);
    reflected.server.remove(collection, 'goes');
    reflected.server.put(collection, 'comes', { text: 'three' });
    expire(reflected);
    reflected.timers.advance(40_000);
    await passBackOff(reflected, 2);
    await tells(reflected, { comes: 'three', stays: 'one' });
    assert.equal(reflected.lists, 2);
  });
}

test('an object that came back under another UID meanwhile is a removal and an addition', async (context) => {
  const reflected = await Reflected.start(context);
  reflected.server.put(collection, 'a', { text: 'first' });
  reflected.run();
  await watching(reflected);
  reflected.server.resetWatches();
  await waitFor(() => reflected.reflector.state === 'backoff', fast);
  reflected.server.remove(collection, 'a');
  reflected.server.put(collection, 'a', { text: 'second' });
  reflected.server.forgetHistory();
  reflected.timers.advance(40_000);
  await passBackOff(reflected, 2);
  await tells(reflected, { a: 'second' });
  assert.deepEqual(reflected.changes.slice(1), [
    { key: 'a', before: 'first', after: null },
    { key: 'a', before: null, after: 'second' },
  ]);
});

test('events that come twice are told once', async (context) => {
  const reflected = await Reflected.start(context);
  const object = reflected.server.put(collection, 'a', { text: 'one' });
  reflected.run();
  await watching(reflected);
  reflected.server.sendBytes(`${JSON.stringify({ type: 'ADDED', object })}\n`);
  reflected.server.put(collection, 'b', { text: 'two' });
  await tells(reflected, { a: 'one', b: 'two' });
  assert.equal(reflected.changes.length, 2);
});

test('a removal of what is not known, and a change of what is not, are taken as they come', async (context) => {
  const reflected = await Reflected.start(context);
  reflected.run();
  await watching(reflected);
  const object = { text: 'one', metadata: { name: 'a', uid: 'u', resourceVersion: '900' } };
  reflected.server.sendBytes(`${JSON.stringify({ type: 'DELETED', object })}\n`);
  reflected.server.sendBytes(`${JSON.stringify({ type: 'MODIFIED', object })}\n`);
  await tells(reflected, { a: 'one' });
});

test('bookmarks move the version on, and tell nobody', async (context) => {
  const reflected = await Reflected.start(context);
  reflected.run();
  await watching(reflected);
  reflected.server.bookmark();
  await waitFor(() => reflected.events.includes('BOOKMARK'), fast);
  reflected.server.endWatches();
  await waitFor(() => reflected.server.requests.filter(({ kind }) => kind === 'watch').length === 2, fast);
  assert.equal(reflected.server.requests.at(-1)?.query['resourceVersion'], '101');
  assert.deepEqual(reflected.changes, []);
});

test('a line without end is cut off', async (context) => {
  const reflected = await Reflected.start(context);
  reflected.run();
  await watching(reflected);
  for (let index = 0; index < 17; index++) reflected.server.sendBytes('x'.repeat(1024 * 1024));
  await waitFor(() => reflected.failures.length > 0, fast);
  assert.match(describeError(reflected.failures[0]), /a line of more than/);
});

test('a watch whose other end is gone without a word is opened anew when its time is over', async (context) => {
  const reflected = await Reflected.start(context);
  reflected.run();
  await watching(reflected);
  // 440 s were asked for, and 15 s are granted on top.
  reflected.timers.advance(456_000);
  await passBackOff(reflected);
  await watching(reflected);
  reflected.server.put(collection, 'a', { text: 'one' });
  await tells(reflected, { a: 'one' });
});

test('a list that nobody answers ends after its time', async (context) => {
  const reflected = await Reflected.start(context);
  reflected.server.fault('list', { kind: 'silence' });
  reflected.run();
  await waitFor(() => reflected.server.requests.length === 1, fast);
  reflected.timers.advance(30_000);
  await passBackOff(reflected);
  await reflected.reflector.synced;
});

test('waits for as long as the server wants', async (context) => {
  const reflected = await Reflected.start(context);
  reflected.server.fault('list', { kind: 'status', status: 429, retryAfter: 7 });
  reflected.run();
  await waitFor(() => reflected.reflector.state === 'backoff', fast);
  assert.deepEqual(reflected.timers.waits, [7000]);
});

test('waits longer after each failure, and from the start again after a success', async (context) => {
  const reflected = await Reflected.start(context);
  reflected.server.fault('list', ...Array.from({ length: 3 }, () => ({ kind: 'status', status: 500 }) as const));
  reflected.run();
  for (const [index, wait] of [800, 1600, 3200].entries()) {
    await waitFor(() => reflected.failures.length === index + 1 && reflected.reflector.state === 'backoff', fast);
    assert.deepEqual(reflected.timers.waits, [wait]);
    reflected.timers.advance(wait);
  }
  await watching(reflected);
  reflected.server.resetWatches();
  await waitFor(() => reflected.reflector.state === 'backoff', fast);
  assert.deepEqual(reflected.timers.waits, [800]);
});

test('compares with a whole list now and then', async (context) => {
  const reflected = await Reflected.start(context);
  reflected.run();
  await watching(reflected);
  reflected.timers.advance(420_000);
  reflected.server.endWatches();
  await waitFor(() => reflected.server.requests.filter(({ kind }) => kind === 'watch').length === 2, fast);
  assert.equal(reflected.lists, 1);
  await watching(reflected);
  reflected.timers.advance(300_000);
  reflected.server.endWatches();
  await waitFor(() => reflected.lists === 2, fast);
});

test('a listener that throws harms no other', async (context) => {
  const reflected = await Reflected.start(context);
  reflected.reflector.listen(() => {
    throw new Error('listener');
  });
  const second: string[] = [];
  reflected.reflector.listen((changes) => second.push(...changes.map(({ key }) => key)));
  reflected.server.put(collection, 'a');
  reflected.run();
  await reflected.reflector.synced;
  assert.deepEqual(second, ['a']);
  assert.equal(reflected.listenerFailures.length, 1);
});

test('a listener that comes late is told of what is known', async (context) => {
  const reflected = await Reflected.start(context);
  reflected.server.put(collection, 'a', { text: 'one' });
  reflected.run();
  await reflected.reflector.synced;
  const seen: unknown[] = [];
  reflected.reflector.listen((changes) => seen.push(...changes));
  assert.deepEqual(seen, [{ key: 'a', before: null, after: 'one' }]);
});

test('an object that cannot be read is left out, and is told', async (context) => {
  const reflected = await Reflected.start(context, {
    read: ({ metadata }) => {
      if (metadata.name === 'bad') throw new Error('unreadable');
      return metadata.name === 'unwanted' ? null : 'good';
    },
  });
  for (const name of ['bad', 'good', 'unwanted']) reflected.server.put(collection, name);
  reflected.run();
  await reflected.reflector.synced;
  assert.deepEqual(reflected.told, { good: 'good' });
  assert.equal(reflected.listenerFailures.length, 1);
});

test('a kind that nobody installed has no objects, until somebody does, and none again when it is removed', async (context) => {
  const reflected = await Reflected.start(context, { mayBeAbsent: true });
  reflected.server.undefine(collection);
  reflected.run();
  await reflected.reflector.synced;
  await waitFor(() => reflected.reflector.state === 'absent', fast);
  assert.deepEqual(reflected.failures, []);
  reflected.server.put(collection, 'a', { text: 'one' });
  reflected.timers.advance(36_000);
  await watching(reflected);
  assert.deepEqual(reflected.told, { a: 'one' });
  reflected.server.undefine(collection);
  reflected.server.endWatches();
  await passBackOff(reflected);
  await tells(reflected, {});
});

test('ends by its signal in whatever it does', async (context) => {
  const reflected = await Reflected.start(context);
  const abort = new AbortController();
  reflected.server.fault('list', { kind: 'silence' });
  const running = reflected.reflector.run(abort.signal);
  await waitFor(() => reflected.server.requests.length === 1, fast);
  abort.abort();
  await running;
  assert.equal(reflected.reflector.state, 'stopped');
  assert.deepEqual(reflected.failures, []);
  assert.deepEqual(reflected.timers.waits, []);
});

test('finds objects in whichever version is served, and follows them into another', async (context) => {
  const old = '/api/v0/things';
  const reflected = await Reflected.start(context, { mayBeAbsent: true, otherPaths: [old, '/api/v2/things'] });
  reflected.server.undefine(collection);
  reflected.server.put(old, 'a', { text: 'one' });
  reflected.run();
  await watching(reflected);
  assert.equal(reflected.reflector.path, old);
  assert.deepEqual(reflected.told, { a: 'one' });
  reflected.server.undefine(old);
  reflected.server.put('/api/v2/things', 'a', { text: 'two' });
  reflected.server.endWatches();
  await waitFor(() => {
    reflected.timers.advance(1000);
    return reflected.told['a'] === 'two';
  }, fast);
  assert.equal(reflected.reflector.path, '/api/v2/things');
});

test('of what is served in no version nothing is there, until it is', async (context) => {
  const reflected = await Reflected.start(context, { mayBeAbsent: true, otherPaths: ['/api/v2/things'] });
  reflected.server.undefine(collection);
  reflected.run();
  await reflected.reflector.synced;
  await waitFor(() => reflected.reflector.state === 'absent', fast);
  assert.equal(reflected.server.requests.length, 2);
  reflected.server.put('/api/v2/things', 'a', { text: 'one' });
  reflected.timers.advance(40_000);
  await tells(reflected, { a: 'one' });
});

test('a line that cannot be read is told without what stands in it', async (context) => {
  const reflected = await Reflected.start(context);
  reflected.server.fault('watch', { kind: 'text', text: '{"type":"ADDED","object":{"data":"hush"\n' });
  reflected.run();
  await waitFor(() => reflected.failures.length === 1, fast);
  assert.doesNotMatch(describeError(reflected.failures[0]), /hush/);
});
