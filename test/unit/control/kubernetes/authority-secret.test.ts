import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';

import { generateAuthority } from '../../../../src/ca/certificates.ts';
import {
  openClusterAuthority,
  operatorSecret,
  ownSecret,
  rootKeySecret,
} from '../../../../src/control/kubernetes/authority-secret.ts';
import { recordingLogger } from '../../../support/loggers.ts';
import { startFakeCluster } from '../../../support/kube/fake-cluster.ts';
import type { FakeCluster } from '../../../support/kube/fake-cluster.ts';

const folder = '/api/v1/namespaces/istio-system/secrets';

interface WrittenSecret {
  readonly stringData: Readonly<Record<string, string>>;
}

function open({ client, objects }: FakeCluster) {
  const { logger, records } = recordingLogger();
  encodeLikeTheServer(objects);
  const opened = openClusterAuthority({ client, namespace: 'istio-system', logger, now: () => Date.now() });
  return { opened, records };
}

/** The API server gives back in base64 what was written as text. */
function encodeLikeTheServer({ objects }: FakeCluster['objects']): void {
  const get = objects.get.bind(objects);
  objects.get = (path) => {
    const stored = get(path) as (ReturnType<typeof get> & Partial<WrittenSecret>) | undefined;
    if (stored?.stringData === undefined) return stored;
    return { ...stored, data: encoded(stored.stringData) } as never;
  };
}

function encoded(files: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(files).map(([name, text]) => [name, Buffer.from(text).toString('base64')]));
}

function putSecret({ objects }: FakeCluster, name: string, files: Readonly<Record<string, string>>): void {
  objects.objects.set(`${folder}/${name}`, { metadata: { name }, data: encoded(files) } as never);
}

test('the first start makes a CA, and keeps the key of its root apart', async (context) => {
  const cluster = await startFakeCluster(context);
  const authority = await open(cluster).opened;
  const own = cluster.objects.get(`${folder}/${ownSecret}`) as WrittenSecret;
  const root = cluster.objects.get(`${folder}/${rootKeySecret}`) as WrittenSecret;
  assert.equal(own.stringData['root-cert.pem'], authority.roots);
  assert.ok(!Object.keys(own.stringData).includes('root-key.pem'));
  assert.match(root.stringData['root-key.pem'] ?? '', /PRIVATE KEY/);
});

test('the second start, and another replica, have the same CA', async (context) => {
  const cluster = await startFakeCluster(context);
  const [first, second] = await Promise.all([open(cluster).opened, open(cluster).opened]);
  const third = await open(cluster).opened;
  assert.equal(second.roots, first.roots);
  assert.equal(third.roots, first.roots);
});

test('the operator’s CA counts more than one of our own', async (context) => {
  const cluster = await startFakeCluster(context);
  await open(cluster).opened;
  const material = await generateAuthority(Date.now());
  putSecret(cluster, operatorSecret, {
    'root-cert.pem': material.rootCertificate,
    'ca-cert.pem': material.certificate,
    'ca-key.pem': material.key,
    'cert-chain.pem': material.certificate,
  });
  assert.equal((await open(cluster).opened).roots, material.rootCertificate);
});

test('a self-signed root of istiod is taken over, and one in the form of a TLS Secret', async (context) => {
  const material = await generateAuthority(Date.now());
  for (const files of [
    { 'ca-cert.pem': material.rootCertificate, 'ca-key.pem': material.rootKey, 'cert-chain.pem': '' },
    { 'tls.crt': material.certificate, 'tls.key': material.key, 'ca.crt': material.rootCertificate },
  ]) {
    const cluster = await startFakeCluster(context);
    putSecret(cluster, ownSecret, files);
    assert.equal((await open(cluster).opened).roots, material.rootCertificate);
  }
});

test('a Secret that cannot be a CA is named, and nothing is made in its place', async (context) => {
  const cluster = await startFakeCluster(context);
  const material = await generateAuthority(Date.now());
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  putSecret(cluster, operatorSecret, {
    'root-cert.pem': material.rootCertificate,
    'ca-cert.pem': material.certificate,
    'ca-key.pem': privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  });
  await assert.rejects(open(cluster).opened, /the Secret istio-system\/cacerts cannot be used as a CA/);
  assert.equal(cluster.objects.get(`${folder}/${ownSecret}`), null);
});

test('without an answer of the API server nothing is made', async (context) => {
  const cluster = await startFakeCluster(context);
  cluster.server.fault('list', { kind: 'status', status: 500 });
  await assert.rejects(open(cluster).opened, /500/);
  assert.equal(cluster.objects.objects.size, 0);
});
