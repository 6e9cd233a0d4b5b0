import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { controlCredentials } from '../../../src/config/control-credentials.ts';
import { nodeMetadata } from '../../../src/config/control-settings.ts';
import { resolveAgentSettings } from '../../../src/config/settings.ts';

const SECRET = 'eyJhbGciOi.c2VjcmV0.c2ln';
const flags = { node: 'n', control: 'control:15012' };

suite('AUTH_TOKEN', () => {
  test('that is a path names the file of the token', () => {
    const environment = { AUTH_TOKEN: '/tokens/istio-token' };
    assert.equal(resolveAgentSettings(flags, environment).tokenFile, '/tokens/istio-token');
    assert.equal(controlCredentials(flags, environment).token, null);
    assert.equal(resolveAgentSettings(flags, { AUTH_TOKEN: './token' }).tokenFile, './token');
  });

  test('that is a token is sent, and is no part of the settings that are shown', () => {
    const environment = { AUTH_TOKEN: SECRET };
    assert.equal(controlCredentials(flags, environment).token, SECRET);
    assert.doesNotMatch(JSON.stringify(resolveAgentSettings(flags, environment)), /c2VjcmV0/);
  });

  test('gives way to a file that is named', () => {
    const environment = { AUTH_TOKEN: SECRET };
    assert.equal(controlCredentials({ ...flags, tokenFile: '/t' }, environment).token, null);
    assert.equal(controlCredentials(flags, { ...environment, AMBIT_TOKEN_FILE: '/t' }).token, null);
  });

  test('that can be neither is refused without being quoted', () => {
    assert.throws(
      () => controlCredentials(flags, { AUTH_TOKEN: 'two\nlines' }),
      (error: Error) => /AUTH_TOKEN/.test(error.message) && !/two/.test(error.message),
    );
  });
});

suite('headers', () => {
  test('are those of the variables, for xDS and for the CA, in lower case', () => {
    const environment = { 'XDS_HEADER_X-Tenant': 'a', CA_HEADER_x_route: 'b', XDS_HEADER_EMPTY: '' };
    const { xdsHeaders, caHeaders } = controlCredentials(flags, environment);
    assert.deepEqual([xdsHeaders, caHeaders], [[['x-tenant', 'a']], [['x_route', 'b']]]);
  });

  for (const [name, value] of [
    ['XDS_HEADER_grpc-timeout', '1S'],
    ['XDS_HEADER_x-bin', 'AA'],
    ['XDS_HEADER_:path', '/'],
    ['CA_HEADER_x', 'one\r\nauthorization: other'],
  ] as const) {
    test(`${name} ${JSON.stringify(value)} is refused, by its name alone`, () => {
      assert.throws(
        () => controlCredentials(flags, { [name]: value }),
        (error: Error) => error.message.includes(name) && !error.message.includes(value),
      );
    });
  }
});

suite('metadata of the node', () => {
  test('is text, or JSON where the variable says so', () => {
    const environment = {
      ISTIO_META_DNS_CAPTURE: 'true',
      ISTIO_METAJSON_LABELS: '{"app":"x","n":[1,null]}',
      OTHER: 'z',
    };
    assert.deepEqual(nodeMetadata(environment), { DNS_CAPTURE: 'true', LABELS: { app: 'x', n: [1, null] } });
  });

  test('that should be JSON and is not is refused', () => {
    assert.throws(() => nodeMetadata({ ISTIO_METAJSON_LABELS: '{' }), /ISTIO_METAJSON_LABELS is not JSON/);
  });
});
