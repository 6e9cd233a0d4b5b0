import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { validate } from '../support/envoy/envoy-process.ts';
import { goldens } from '../support/envoy/goldens.ts';

void describe('Envoy itself accepts', () => {
  for (const { name, resources } of goldens()) {
    test(name, async () => {
      assert.equal(await validate(resources), null);
    });
  }

  test('no routes with a broken regular expression, so that accepting means something', async () => {
    const [{ resources } = { resources: null }] = goldens().filter(({ name }) => name === 'http');
    assert.ok(resources);
    const broken = JSON.parse(
      JSON.stringify(resources).replace('"prefix":"/"', '"safeRegex":{"regex":"("}'),
    ) as typeof resources;
    assert.match((await validate(broken)) ?? '', /regex|missing|\(/);
  });
});
