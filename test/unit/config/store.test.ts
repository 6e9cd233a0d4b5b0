import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseManifests } from '../../../src/config/manifests/parse.ts';
import type { ManifestProblem } from '../../../src/config/manifests/resources.ts';
import { changesBetween, nextState } from '../../../src/config/manifests/store.ts';
import type { ManifestState } from '../../../src/config/manifests/store.ts';

type Files = Readonly<Record<string, string>>;

function namespace(name: string, label = 'x'): string {
  return `apiVersion: v1\nkind: Namespace\nmetadata: {name: ${name}, labels: {l: ${label}}}\n---\n`;
}
const brokenA = 'apiVersion: v1\nkind: Namespace\nmetadata: {name: a, labels: 5}\n---\n';
const noYaml = 'metadata: [\n---\n';

/** Plays versions of the files one after another. */
function play(...versions: readonly Files[]): {
  labels: Record<string, string | undefined>;
  problems: readonly ManifestProblem[];
} {
  let state: ManifestState = new Map();
  let problems: readonly ManifestProblem[] = [];
  for (const files of versions) {
    ({ state, problems } = nextState(
      state,
      Object.entries(files).map(([file, text]) => parseManifests(file, text)),
    ));
  }
  const labels: Record<string, string | undefined> = {};
  for (const { resource } of state.values()) {
    if (resource.kind === 'Namespace') labels[resource.document.metadata.name] = resource.document.metadata.labels['l'];
  }
  return { labels, problems };
}

function pod(name: string, label = 'x'): string {
  return `apiVersion: v1\nkind: Pod\nmetadata: {name: ${name}, uid: u-1, labels: {l: ${label}}}\n---\n`;
}

function namesOfPods(state: ManifestState): readonly string[] {
  return [...state.values()].flatMap(({ resource }) =>
    resource.kind === 'Pod' ? [resource.document.metadata.name] : [],
  );
}

void describe('the manifests in force', () => {
  test('a pod keeps its UID against another one that claims it', () => {
    const { state: before } = nextState(new Map(), [parseManifests('f', pod('b'))]);
    const { state, problems } = nextState(before, [parseManifests('f', pod('a') + pod('b', 'y'))]);
    assert.deepEqual(namesOfPods(state), ['b']);
    assert.deepEqual(
      problems.map(({ resource, field, severity }) => [resource, field, severity]),
      [['Pod default/a', 'metadata.uid', 'error']],
    );
  });

  test('are those of all files', () => {
    assert.deepEqual(play({ f: namespace('a') + namespace('b'), g: namespace('c') }).labels, {
      a: 'x',
      b: 'x',
      c: 'x',
    });
  });

  test('follow an edit', () => {
    assert.deepEqual(play({ f: namespace('a', 'old') }, { f: namespace('a', 'new') }).labels, { a: 'new' });
  });

  test('lose what is deleted', () => {
    assert.deepEqual(play({ f: namespace('a') + namespace('b') }, { f: namespace('b') }).labels, { b: 'x' });
    assert.deepEqual(play({ f: namespace('a'), g: namespace('b') }, { g: namespace('b') }).labels, { b: 'x' });
    assert.deepEqual(play({ f: namespace('a') }, {}).labels, {});
  });

  test('keep the last good version of a document that does not validate', () => {
    const { labels, problems } = play(
      { f: namespace('a', 'good') + namespace('b', 'old') },
      { f: brokenA + namespace('b', 'new') },
    );
    assert.deepEqual(labels, { a: 'good', b: 'new' });
    assert.match(problems[0]?.message ?? '', /\(its last good version stays in force\)$/);
  });

  test('lack a document that was never good, and say so', () => {
    const { labels, problems } = play({ f: brokenA + namespace('b') });
    assert.deepEqual(labels, { b: 'x' });
    assert.match(problems[0]?.message ?? '', /\(nothing of it is in force\)$/);
  });

  test('keep what cannot be found any more in a file that is no YAML, and take the rest', () => {
    const { labels } = play(
      { f: namespace('a', 'old') + namespace('b', 'old') },
      { f: namespace('b', 'new') + noYaml },
    );
    assert.deepEqual(labels, { a: 'old', b: 'new' });
  });

  test('lose a document of another file although one is no YAML', () => {
    assert.deepEqual(play({ f: namespace('a'), g: namespace('b') }, { f: namespace('a') + noYaml, g: '' }).labels, {
      a: 'x',
    });
  });

  test('lose what was deleted while the file was broken, once it is mended', () => {
    assert.deepEqual(play({ f: namespace('a') + namespace('b') }, { f: noYaml }, { f: namespace('b') }).labels, {
      b: 'x',
    });
  });

  test('keep the last good version through several breaks', () => {
    assert.deepEqual(play({ f: namespace('a', 'good') }, { f: brokenA }, { f: noYaml }, { f: brokenA }).labels, {
      a: 'good',
    });
  });

  test('follow a document from file to file', () => {
    assert.deepEqual(play({ f: namespace('a', 'old') }, { g: namespace('a', 'new') }).labels, { a: 'new' });
  });

  test('keep the last good version of a document that stands twice, and name both places', () => {
    const { labels, problems } = play(
      { f: namespace('a', 'good') },
      { f: namespace('a', 'one'), g: `\n\n${namespace('a', 'two')}` },
    );
    assert.deepEqual(labels, { a: 'good' });
    assert.equal(problems.length, 1);
    const [problem] = problems;
    assert.deepEqual([problem?.severity, problem?.file, problem?.line], ['error', 'g', 3]);
    assert.match(problem?.message ?? '', /at f:1/);
  });

  test('have the first of two where none was good before', () => {
    assert.deepEqual(play({ f: namespace('a', 'one') + namespace('a', 'two') }).labels, { a: 'one' });
  });

  test('have one MeshSettings, whatever its name', () => {
    const settings = (name: string) =>
      `apiVersion: ambit.dev/v1alpha1\nkind: MeshSettings\nmetadata: {name: ${name}}\n---\n`;
    assert.match(play({ f: settings('a') + settings('b') }).problems[0]?.message ?? '', /stands here and at f:1/);
  });

  test('are the same after a change of comments and places', () => {
    const before = nextState(new Map(), [parseManifests('f', namespace('a') + namespace('b'))]).state;
    const { state } = nextState(before, [parseManifests('f', `# moved\n\n${namespace('b')}${namespace('a')}`)]);
    assert.deepEqual(changesBetween(before, state), []);
    assert.equal(state.get('Namespace/a')?.line, 7);
  });

  test('differ by what was edited, added and removed', () => {
    const before = nextState(new Map(), [parseManifests('f', namespace('a') + namespace('b') + namespace('c'))]).state;
    const edited = namespace('a') + namespace('b', 'y') + namespace('d');
    const changes = changesBetween(before, nextState(before, [parseManifests('f', edited)]).state);
    assert.deepEqual(
      changes.map((change) => [
        change.key,
        change.kind === 'Namespace' ? (change.document?.metadata.labels ?? null) : change.kind,
      ]),
      [
        ['c', null],
        ['b', { l: 'y' }],
        ['d', { l: 'x' }],
      ],
    );
  });

  test('are told by their names within the kind', () => {
    const foreign = 'apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: n, namespace: s}\n---\n';
    const settings = 'apiVersion: ambit.dev/v1alpha1\nkind: MeshSettings\n---\n';
    const { state } = nextState(new Map(), [parseManifests('f', pod('a') + foreign + settings)]);
    assert.deepEqual(
      changesBetween(new Map(), state).map(({ kind, key }) => [kind, key]),
      [
        ['MeshSettings', 'MeshSettings'],
        ['Pod', 'default/a'],
        ['ForeignNetworkPolicy', 'cilium.io/CiliumNetworkPolicy/s/n'],
      ],
    );
  });
});
