import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Metadata, status } from '@grpc/grpc-js';
import { CertificateService } from '../../../src/control/certificates/certificate-service.ts';
import { LivePods } from '../../../src/control/certificates/live-pods.ts';
import { silentLogger } from '../../support/loggers.ts';

test('nothing is signed for a caller who has gone while it was found out who it is', async () => {
  const identity = { trustDomain: 'cluster.local', namespace: 'shop', serviceAccount: 'web' };
  const pods = new LivePods();
  const pod = { uid: 'u', node: 'node-1', namespace: 'shop', name: 'web', identity, wanted: true, handover: false };
  for (const step of pods.update([{ key: 'u', before: null, after: pod }])) assert.equal(step, undefined);
  let certified = 0;
  const call = {
    request: { csr: 'never read', validityDuration: 0n, metadata: undefined },
    metadata: new Metadata(),
    cancelled: false,
    getAuthContext: () => ({}),
    getPeer: () => 'peer',
  };
  const service = new CertificateService({
    authority: {
      certify: () => {
        certified++;
        return Promise.reject(new Error('not to be asked'));
      },
    },
    authenticate: async () => {
      call.cancelled = true;
      await Promise.resolve();
      return { kind: 'workload', identity, pod: null };
    },
    pods,
    defaultTtl: 60_000,
    maximumTtl: 60_000,
    logger: silentLogger,
    observer: {
      requested: () => undefined,
      issued: () => undefined,
      malformed: () => assert.fail('the request was read'),
      failed: () => undefined,
    },
  });
  const create = service.implementation['createCertificate'] as unknown as (
    given: typeof call,
    callback: (error: { readonly code: number } | null) => void,
  ) => void;
  const answer = await new Promise<{ readonly code: number } | null>((resolve) => {
    create(call, resolve);
  });
  assert.equal(answer?.code, status.CANCELLED);
  assert.equal(certified, 0);
});
