import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { resolveValues } from '../../../src/install/values/resolve.ts';
import type { ValueSources } from '../../../src/install/values/resolve.ts';
import type { Values } from '../../../src/install/values.ts';

function resolve(sources: Partial<ValueSources>): Values {
  return resolveValues({ profile: 'default', files: [], set: [], namespace: 'istio-system', ...sources });
}

function mistakesOf(sources: Partial<ValueSources>): string {
  try {
    resolve(sources);
  } catch (error) {
    return (error as Error).message;
  }
  return assert.fail('was accepted');
}

describe('values of an installation', () => {
  test('later sources win: profile, files in order, single values', () => {
    const files = [
      { name: 'a.yaml', text: 'agent: {logLevel: warn, threads: 1}\ncontrol: {replicas: 2}\n' },
      { name: 'b.yaml', text: 'agent: {threads: 2}\n' },
    ];
    const values = resolve({ profile: 'demo', files, set: ['control.replicas=3'] });
    assert.equal(values.agent.logLevel, 'warn');
    assert.equal(values.agent.threads, 2);
    assert.equal(values.control.replicas, 3);
    assert.equal(values.control.logLevel, 'debug');
  });

  test('texts become what the schema wants', () => {
    const values = resolve({
      set: ['strict=true', 'agent.threads=2', 'image.tag=1.0', 'mesh.trustDomainAliases=a.org,b.org'],
    });
    assert.equal(values.strict, true);
    assert.equal(values.agent.threads, 2);
    assert.equal(values.image.tag, '1.0');
    assert.deepEqual(values.mesh.trustDomainAliases, ['a.org', 'b.org']);
  });

  test('items of lists are set one by one', () => {
    const values = resolve({
      set: ['image.pullSecrets[0].name=one', 'image.pullSecrets[1].name=two', 'mesh.excludedNamespaces[0]=apart'],
    });
    assert.deepEqual(values.image.pullSecrets, [{ name: 'one' }, { name: 'two' }]);
    assert.deepEqual(values.mesh.excludedNamespaces, ['apart']);
  });

  test('an empty text is an empty list', () => {
    assert.deepEqual(resolve({ set: ['mesh.excludedNamespaces='] }).mesh.excludedNamespaces, []);
  });

  test('tells all mistakes at once, each with its path', () => {
    const text = mistakesOf({
      profile: 'big',
      files: [{ name: 'x.yaml', text: 'agent: {threads: 9}\nmush: 1\n' }],
      set: ['agent.logLevle=info', 'strict=maybe', 'control=1', 'agent.threads.x=1', 'nothing'],
    });
    for (const part of [
      '--profile big',
      'agent.threads',
      'mush',
      '--set agent.logLevle',
      'strict',
      '--set control: is a group',
      '--set agent.threads.x',
      '--set nothing: must be PATH=VALUE',
    ]) {
      assert.ok(text.includes(part), `${part} in ${text}`);
    }
  });

  test('a list has no item far behind its end', () => {
    assert.match(mistakesOf({ set: ['mesh.excludedNamespaces[999]=x'] }), /is no path/);
  });

  test('names of JavaScript itself are no values', () => {
    assert.match(mistakesOf({ set: ['__proto__.x=1'] }), /--set __proto__/);
    assert.match(mistakesOf({ set: ['constructor.name=1'] }), /no value constructor/);
    assert.match(mistakesOf({ files: [{ name: 'x', text: '__proto__: {strict: true}\n' }] }), /__proto__/);
  });

  test('a file that is no YAML, or no map, is named', () => {
    assert.match(mistakesOf({ files: [{ name: 'x.yaml', text: 'a: [1\n' }] }), /--values x\.yaml: .*line/);
    assert.match(mistakesOf({ files: [{ name: 'x.yaml', text: '- 1\n' }] }), /--values x\.yaml: must hold/);
  });

  test('an empty file is allowed', () => {
    assert.equal(resolve({ files: [{ name: 'x.yaml', text: '# nothing\n' }] }).strict, false);
  });

  test('the namespace is the root namespace unless another is named', () => {
    assert.equal(resolve({ namespace: 'mesh' }).mesh.rootNamespace, 'mesh');
    assert.equal(resolve({ namespace: 'mesh', set: ['mesh.rootNamespace=root'] }).mesh.rootNamespace, 'root');
  });
});
