import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once, EventEmitter } from 'node:events';
import { chmod, mkdir, mkdtemp, readFile, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { ManifestSource } from '../../../src/config/manifests/source.ts';
import type { ManifestSourceOptions, ManifestUpdate } from '../../../src/config/manifests/source.ts';
import { changesBetween } from '../../../src/config/manifests/store.ts';
import { systemTimers } from '../../../src/timing/timers.ts';
import type { Timers } from '../../../src/timing/timers.ts';

/** Time that passes when the test says so. */
class ManualTimers implements Pick<Timers, 'after'> {
  #pending: (() => void) | null = null;
  milliseconds = 0;

  after(milliseconds: number, callback: () => void): () => void {
    this.#pending = callback;
    this.milliseconds = milliseconds;
    return () => {
      if (this.#pending === callback) this.#pending = null;
    };
  }

  get idle(): boolean {
    return this.#pending === null;
  }

  fire(): void {
    const callback = this.#pending;
    this.#pending = null;
    assert.ok(callback !== null, 'a timer is set');
    callback();
  }
}

function namespace(name: string, label = 'x'): string {
  return `apiVersion: v1\nkind: Namespace\nmetadata: {name: ${name}, labels: {l: "${label}"}}\n---\n`;
}

function labels(update: ManifestUpdate): Record<string, string | undefined> {
  const namespaces = changesBetween(new Map(), update.state).flatMap((change) =>
    change.kind === 'Namespace' && change.document !== null ? [change.document] : [],
  );
  return Object.fromEntries(namespaces.map(({ metadata }) => [metadata.name, metadata.labels['l']]));
}

void describe('a manifest source', { timeout: 20_000 }, () => {
  let base = '';
  let folder = '';
  let stateDir = '';
  let stop = new AbortController();
  let updates = new EventEmitter();
  let alive: NodeJS.Timeout | undefined;

  beforeEach(async () => {
    base = await mkdtemp(join(tmpdir(), 'ambit-source-'));
    folder = join(base, 'manifests');
    stateDir = join(base, 'state');
    await mkdir(folder);
    stop = new AbortController();
    updates = new EventEmitter();
    // Watches and timers of a source keep no process alive; the runner needs something that does.
    alive = setInterval(() => undefined, 1000);
  });
  afterEach(async () => {
    stop.abort();
    clearInterval(alive);
    await rm(base, { recursive: true, force: true });
  });

  const write = (name: string, text: string) => writeFile(join(folder, name), text);

  function open(options: Partial<ManifestSourceOptions> = {}): ManifestSource {
    return new ManifestSource({
      path: folder,
      stateDir: null,
      pollInterval: 3_600_000,
      timers: systemTimers,
      onUpdate: (update) => updates.emit('update', update),
      ...options,
    });
  }

  async function next(): Promise<ManifestUpdate> {
    const [update] = (await once(updates, 'update')) as [ManifestUpdate];
    return update;
  }

  test('reads a folder in order, passing over hidden files and other kinds of files', async () => {
    await write('b.yaml', namespace('b'));
    await write('a.yml', namespace('a'));
    await write('c.json', '{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "c"}}');
    await write('.a.yaml.swp.yaml', namespace('hidden'));
    await write('notes.txt', 'none');
    await mkdir(join(folder, 'deep.yaml'));
    const update = await open().start(stop.signal);
    assert.deepEqual(Object.keys(labels(update)), ['a', 'b', 'c']);
    assert.deepEqual(update.problems, []);
  });

  test('reads a single file', async () => {
    await write('a.yaml', namespace('a'));
    const update = await open({ path: join(folder, 'a.yaml') }).start(stop.signal);
    assert.deepEqual(labels(update), { a: 'x' });
  });

  test('refuses to start where nothing can be read and nothing is kept', async () => {
    await assert.rejects(open({ path: join(base, 'none') }).start(stop.signal), { code: 'MANIFESTS_UNREADABLE' });
    await assert.rejects(open({ path: join(base, 'none'), stateDir }).start(stop.signal), {
      code: 'MANIFESTS_UNREADABLE',
    });
  });

  test('an emptied file takes nothing back: whoever writes it anew may not have begun', async () => {
    await write('a.yaml', namespace('a'));
    await open().start(stop.signal);
    const update = next();
    await write('a.yaml', '');
    assert.deepEqual(labels(await update), { a: 'x' });
    assert.match((await update).newProblems[0]?.message ?? '', /^is empty/);
  });

  test('an empty folder takes nothing back, not at a start either', async () => {
    await write('a.yaml', namespace('a'));
    await open({ stateDir }).start(stop.signal);
    await rm(join(folder, 'a.yaml'));
    const update = await open({ stateDir }).start(stop.signal);
    assert.deepEqual(labels(update), { a: 'x' });
    assert.match(update.problems[0]?.message ?? '', /holds no manifest/);
  });

  test('sees an edit in place', async () => {
    await write('a.yaml', namespace('a', 'old'));
    await open().start(stop.signal);
    const update = next();
    await write('a.yaml', namespace('a', 'new'));
    assert.deepEqual(labels(await update), { a: 'new' });
  });

  test('sees a file that is replaced by rename', async () => {
    await write('a.yaml', namespace('a', 'old'));
    await open({ path: join(folder, 'a.yaml') }).start(stop.signal);
    for (const label of ['second', 'third']) {
      const update = next();
      await write('draft', namespace('a', label));
      await rename(join(folder, 'draft'), join(folder, 'a.yaml'));
      assert.deepEqual(labels(await update), { a: label });
    }
  });

  test('sees the link swap of a mounted ConfigMap', async () => {
    const version = async (name: string, label: string) => {
      await mkdir(join(folder, name));
      await writeFile(join(folder, name, 'a.yaml'), namespace('a', label));
      await symlink(name, join(folder, '..data_tmp'));
      await rename(join(folder, '..data_tmp'), join(folder, '..data'));
    };
    await version('..2026_1', 'old');
    await symlink('..data/a.yaml', join(folder, 'a.yaml'));
    assert.deepEqual(labels(await open().start(stop.signal)), { a: 'old' });
    const update = next();
    await version('..2026_2', 'new');
    assert.deepEqual(labels(await update), { a: 'new' });
  });

  test('keeps everything while the folder is gone, and follows the one that comes back', async () => {
    await write('a.yaml', namespace('a', 'old'));
    await open().start(stop.signal);
    const gone = next();
    await rename(folder, join(base, 'aside'));
    const without = await gone;
    assert.deepEqual(labels(without), { a: 'old' });
    assert.deepEqual(without.changes, []);
    assert.match(without.newProblems[0]?.message ?? '', /MANIFESTS_UNREADABLE.*stay in force/);
    const back = next();
    const draft = join(base, 'draft');
    await mkdir(draft);
    await writeFile(join(draft, 'a.yaml'), namespace('a', 'new'));
    await rename(draft, folder);
    const update = await back;
    assert.deepEqual(labels(update), { a: 'new' });
    assert.deepEqual(update.problems, []);
  });

  test('keeps what a file held while it cannot be decoded', async () => {
    await write('a.yaml', namespace('a', 'old'));
    await open().start(stop.signal);
    const update = next();
    await writeFile(join(folder, 'a.yaml'), Buffer.from([0xff, 0xfe, 0x00]));
    const broken = await update;
    assert.deepEqual(labels(broken), { a: 'old' });
    assert.equal(broken.problems[0]?.severity, 'error');
  });

  test('keeps what a file held when it grows beyond the limit', async () => {
    await write('a.yaml', namespace('a', 'old'));
    await open({ limits: { fileBytes: 200, totalBytes: 1000, files: 3 } }).start(stop.signal);
    const update = next();
    await write('a.yaml', `${namespace('a', 'new')}# ${'x'.repeat(300)}`);
    const large = await update;
    assert.deepEqual(labels(large), { a: 'old' });
    assert.match(large.problems[0]?.message ?? '', /larger than 200 bytes/);
  });

  test('refuses more files than it may hold', async () => {
    for (const name of ['a', 'b', 'c', 'd']) await write(`${name}.yaml`, namespace(name));
    const limits = { fileBytes: 200, totalBytes: 1000, files: 3 };
    await assert.rejects(open({ limits }).start(stop.signal), {
      code: 'MANIFESTS_UNREADABLE',
      message: /more than 3 files/,
    });
  });

  test('is not held up by a pipe', async () => {
    await write('a.yaml', namespace('a'));
    await promisify(execFile)('mkfifo', [join(folder, 'b.yaml')]);
    assert.deepEqual(labels(await open().start(stop.signal)), { a: 'x' });
  });

  test('tells each problem as new once', async () => {
    const timers = new ManualTimers();
    await write('a.yaml', `${namespace('a')}apiVersion: v1\nkind: Pod\nmetadata: {name: B}\n`);
    const first = await open({ timers }).start(stop.signal);
    assert.equal(first.newProblems.length, 1);
    const second = next();
    await write('c.yaml', namespace('c'));
    timers.fire();
    const update = await second;
    assert.deepEqual(Object.keys(labels(update)), ['a', 'c']);
    assert.equal(update.problems.length, 1);
    assert.deepEqual(update.newProblems, []);
    const third = next();
    await rm(join(folder, 'a.yaml'));
    timers.fire();
    assert.deepEqual((await third).problems, []);
  });

  test('looks again without a notice, after the poll interval', async () => {
    const timers = new ManualTimers();
    await write('a.yaml', namespace('a'));
    await open({ timers, pollInterval: 1234 }).start(stop.signal);
    assert.equal(timers.milliseconds, 1234);
    assert.ok(!timers.idle);
  });

  test('stops with its signal', async () => {
    const timers = new ManualTimers();
    await write('a.yaml', namespace('a'));
    await open({ timers }).start(stop.signal);
    stop.abort();
    assert.ok(timers.idle);
    await assert.rejects(open().start(stop.signal), { name: 'AbortError' });
  });

  void describe('with a state folder', () => {
    const kept = () => join(stateDir, 'manifests.json');

    test('writes what is in force, for its owner only', async () => {
      await write('a.yaml', namespace('a'));
      await open({ stateDir }).start(stop.signal);
      assert.equal((await stat(kept())).mode & 0o777, 0o600);
      assert.equal((await stat(stateDir)).mode & 0o777, 0o700);
      const { version } = JSON.parse(await readFile(kept(), 'utf8')) as { version: number };
      assert.equal(version, 1);
    });

    test('starts from it where the path is gone', async () => {
      await write('a.yaml', namespace('a', 'kept'));
      await open({ stateDir }).start(stop.signal);
      await rm(folder, { recursive: true });
      const update = await open({ stateDir }).start(stop.signal);
      assert.deepEqual(labels(update), { a: 'kept' });
      assert.equal(update.origin, 'state-dir');
      assert.equal(update.problems[0]?.severity, 'error');
    });

    test('starts from it where a document is broken', async () => {
      await write('a.yaml', namespace('a', 'kept'));
      await open({ stateDir }).start(stop.signal);
      await write('a.yaml', 'apiVersion: v1\nkind: Namespace\nmetadata: {name: a, labels: 5}\n');
      const update = await open({ stateDir }).start(stop.signal);
      assert.deepEqual(labels(update), { a: 'kept' });
      assert.equal(update.origin, 'path');
    });

    test('starts from the path where it is good', async () => {
      await write('a.yaml', namespace('a') + namespace('b'));
      await open({ stateDir }).start(stop.signal);
      await write('a.yaml', namespace('b', 'new'));
      assert.deepEqual(labels(await open({ stateDir }).start(stop.signal)), { b: 'new' });
    });

    for (const [what, text] of [
      ['broken', '{"version": 1, "docu'],
      ['of another version', '{"version": 2, "documents": []}'],
      [
        'not valid any more',
        '{"version": 1, "documents": [{"file": "a", "line": 1, "raw": {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "A"}}}]}',
      ],
    ] as const) {
      test(`does without what is ${what}, and says so`, async () => {
        await write('a.yaml', namespace('a'));
        await mkdir(stateDir);
        await writeFile(kept(), text, { mode: 0o600 });
        const update = await open({ stateDir }).start(stop.signal);
        assert.deepEqual(labels(update), { a: 'x' });
        assert.match(update.problems[0]?.message ?? '', /STATE_DIR_UNUSABLE/);
      });
    }

    test('does not believe what others could have written', async () => {
      await write('a.yaml', namespace('a'));
      await open({ stateDir }).start(stop.signal);
      await chmod(kept(), 0o666);
      await rm(folder, { recursive: true });
      await assert.rejects(open({ stateDir }).start(stop.signal), { code: 'MANIFESTS_UNREADABLE' });
    });

    test('goes on where nothing can be written, and says so', async () => {
      await write('a.yaml', namespace('a'));
      await writeFile(stateDir, 'a file, not a folder');
      const update = await open({ stateDir }).start(stop.signal);
      assert.deepEqual(labels(update), { a: 'x' });
      assert.match(update.problems.map(({ message }) => message).join('\n'), /STATE_DIR_UNUSABLE/);
    });
  });
});
