import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { Endpoint } from '../../../src/native/binding.ts';
import { EndpointSets } from '../../../src/ztunnel/endpoint-sets.ts';
import { CacheModel } from '../../support/cache-model.ts';

const endpoint = (address: string): Endpoint => ({
  workload: address,
  podUid: null,
  address,
  port: 80,
  protocol: 'hbone',
  identities: [],
  weight: 1,
  local: false,
  authority: null,
});

suite('endpoint sets', () => {
  test('the same content keeps its version and is not sent again', () => {
    const engine = new CacheModel();
    const sets = new EndpointSets(engine);
    const first = sets.ensure({ id: 's', endpoints: [endpoint('10.0.0.1')] }, ['k']);
    const sent = engine.endpointSets.get('s');
    assert.deepEqual(sets.ensure({ id: 's', endpoints: [endpoint('10.0.0.1')] }, ['k']), first);
    assert.equal(engine.endpointSets.get('s'), sent);
  });

  test('other content gets a new version', () => {
    const sets = new EndpointSets(new CacheModel());
    const first = sets.ensure({ id: 's', endpoints: [endpoint('10.0.0.1')] }, ['k']);
    const second = sets.ensure({ id: 's', endpoints: [endpoint('10.0.0.2')] }, ['k']);
    assert.ok(second.version > first.version);
  });

  test('a touched key removes the sets that stand on it, and only those', () => {
    const engine = new CacheModel();
    const sets = new EndpointSets(engine);
    sets.ensure({ id: 's', endpoints: [] }, ['k', 'both']);
    sets.ensure({ id: 't', endpoints: [] }, ['l', 'both']);
    sets.drop(['k', 'unrelated']);
    assert.deepEqual([...engine.endpointSets.keys()], ['t']);
    sets.drop(['k', 'both']);
    assert.equal(sets.size, 0);
    assert.equal(engine.endpointSets.size, 0);
  });

  test('a set that comes back never has a version that it had before', () => {
    const sets = new EndpointSets(new CacheModel());
    const first = sets.ensure({ id: 's', endpoints: [] }, ['k']);
    sets.drop(['k']);
    assert.ok(sets.ensure({ id: 's', endpoints: [] }, ['k']).version > first.version);
  });
});
