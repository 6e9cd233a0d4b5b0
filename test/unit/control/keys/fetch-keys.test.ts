import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { RequestListener, Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, test } from 'node:test';

import { AllowedSources } from '../../../../src/control/keys/allowed-sources.ts';
import { keyFetcher } from '../../../../src/control/keys/fetch-keys.ts';
import type { ResolveHost } from '../../../../src/control/keys/resolve-host.ts';
import { parseAddress } from '../../../../src/model/address.ts';

const keys = '{"keys":[{"kty":"oct"}]}';

const answers: RequestListener = (request, response) => {
  const base = `http://${request.headers.host ?? ''}`;
  if (request.url === '/keys') response.end(keys);
  else if (request.url === '/.well-known/openid-configuration') response.end(`{"jwks_uri":"${base}/keys"}`);
  else if (request.url === '/elsewhere') response.writeHead(302, { location: '/keys' }).end();
  else if (request.url === '/large') response.end('x'.repeat(65_537));
  else response.end('{}');
};

void describe('keys of tokens', () => {
  let server: Server;
  let base = '';
  before(async () => {
    server = createServer(answers).listen(0, '127.0.0.1');
    await once(server, 'listening');
    base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  after(() => {
    server.close();
    server.closeAllConnections();
  });

  const here = new AllowedSources(['127.0.0.0/8']);
  const never = new AbortController().signal;
  const knowsNobody: ResolveHost = (host) => Promise.reject(new Error(`${host} has no address`));
  const fetch = async (path: string, allowed = here) =>
    keyFetcher(knowsNobody)({ kind: 'keys', url: base + path }, allowed, never);
  const named = async (addresses: readonly string[], allowed: AllowedSources) => {
    const url = `${base.replace('127.0.0.1', 'idp.test')}/keys`;
    return keyFetcher(() => Promise.resolve(addresses))({ kind: 'keys', url }, allowed, never);
  };

  test('are fetched from where they are', async () => {
    assert.equal(await fetch('/keys'), keys);
  });

  test('are fetched from where their issuer says', async () => {
    assert.equal(await keyFetcher(knowsNobody)({ kind: 'issuer', url: base }, here, never), keys);
  });

  test('are not fetched from where nobody has allowed it', async () => {
    await assert.rejects(fetch('/keys', new AllowedSources(['public'])), /is not allowed by jwksSources/);
  });

  test('are not fetched from a name that leads where nobody has allowed it', async () => {
    const fetched = named(['127.0.0.1'], new AllowedSources(['public', 'idp.test']));
    await assert.rejects(fetched, /idp\.test \(127\.0\.0\.1\) is not allowed by jwksSources/);
  });

  test('are not fetched from where a cloud answers to machines, by whichever name', async () => {
    const allowed = new AllowedSources(['public', 'idp.test']);
    for (const address of ['168.63.129.16', '100.100.100.200', 'fd00:ec2::254'])
      await assert.rejects(named([address], allowed), /is not allowed by jwksSources/);
  });

  test('are fetched from that address of a name that was looked at, and no other', async () => {
    const allowed = new AllowedSources(['127.0.0.1/32']);
    assert.equal(await named(['127.0.0.2', '127.0.0.1'], allowed), keys);
    await assert.rejects(named(['127.0.0.2'], allowed), /is not allowed/);
  });

  test('are not what a redirection leads to', async () => {
    await assert.rejects(fetch('/elsewhere'), /has answered 302/);
  });

  test('are not endless', async () => {
    await assert.rejects(fetch('/large'), /more than 65536 bytes/);
  });

  test('are a key set', async () => {
    await assert.rejects(fetch('/other'), /no JSON Web Key Set/);
  });
});

void describe('sources of keys', () => {
  const allows = (sources: readonly string[], host: string, address: string) =>
    new AllowedSources(sources).allows(host, parseAddress(address) ?? assert.fail());

  test('on the internet are those that lead nowhere else', () => {
    const addresses = [
      '93.184.216.34',
      '10.0.0.1',
      '169.254.169.254',
      '127.0.0.1',
      '192.168.1.1',
      'fd00::1',
      '2606:4700::1',
    ];
    assert.deepEqual(
      addresses.map((address) => allows(['public'], 'example.com', address)),
      [true, false, false, false, false, false, true],
    );
  });

  test('are hosts and all hosts of a domain, but never this machine', () => {
    const sources = ['idp.shop.svc', '*.example.com'];
    const asked = [
      ['idp.shop.svc', '10.0.0.1'],
      ['a.example.com', '10.0.0.1'],
      ['example.com', '10.0.0.1'],
      ['idp.shop.svc', '127.0.0.1'],
    ] as const;
    assert.deepEqual(
      asked.map(([host, address]) => allows(sources, host, address)),
      [true, true, false, false],
    );
  });
});
