import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { IdentityCertificate } from '../../../src/native/binding.ts';
import { createAgentMetrics } from '../../../src/telemetry/metrics.ts';
import { CertificateManager } from '../../../src/ztunnel/certificates.ts';
import type { IssuedCertificate } from '../../../src/ztunnel/certificates.ts';
import { recordingLogger } from '../../support/loggers.ts';
import { ManualTimers, settled } from '../../support/manual-timers.ts';

const HOUR = 3_600_000;
const A = 'spiffe://cluster.local/ns/default/sa/a';
const B = 'spiffe://cluster.local/ns/default/sa/b';

interface Rig {
  readonly manager: CertificateManager;
  readonly timers: ManualTimers;
  readonly requests: string[];
  readonly held: Map<string, IdentityCertificate>;
  readonly metricsText: () => Promise<string>;
  readonly log: () => string;
  fail: boolean;
  hang: boolean;
}

function newRig(random = 0.5): Rig {
  const timers = new ManualTimers(Date.parse('2026-01-01T00:00:00Z'));
  const requests: string[] = [];
  const held = new Map<string, IdentityCertificate>();
  const metrics = createAgentMetrics('test');
  const { logger, records } = recordingLogger();
  const issue = (): IssuedCertificate => ({
    certificateChain: 'chain',
    privateKey: 'SECRET KEY',
    roots: 'roots',
    // Dated back, as CAs do it: that is no part of the life that a certificate has here.
    notBefore: timers.now() - 2 * HOUR,
    notAfter: timers.now() + 24 * HOUR,
  });
  const rig: Rig = {
    timers,
    requests,
    held,
    fail: false,
    hang: false,
    metricsText: () => metrics.registry.metrics(),
    log: () => JSON.stringify(records),
    manager: new CertificateManager({
      timers,
      metrics,
      logger,
      random: () => random,
      engine: {
        setIdentity: (certificate) => held.set(certificate.spiffeId, certificate),
        removeIdentity: (spiffeId) => held.delete(spiffeId),
      },
      signer: {
        sign: (identity) => {
          requests.push(identity);
          if (rig.hang) return new Promise(() => undefined);
          return rig.fail ? Promise.reject(new Error('no signer')) : Promise.resolve(issue());
        },
      },
    }),
  };
  return rig;
}

suite('certificates', () => {
  test('each identity is requested once and given to the engine', async () => {
    const rig = newRig();
    rig.manager.require(new Set([A, B]));
    rig.manager.require(new Set([A, B]));
    await settled();
    assert.deepEqual(rig.requests, [A, B]);
    assert.deepEqual([...rig.held.keys()], [A, B]);
    assert.deepEqual(
      rig.manager.status().map(({ state }) => state),
      ['available', 'available'],
    );
  });

  test('renewal falls between half and four fifths of the life that is left', async () => {
    for (const [random, hours] of [
      [0, 12],
      [0.5, 15.6],
      [0.999999, 19.2],
    ] as const) {
      const rig = newRig(random);
      rig.manager.require(new Set([A]));
      await settled();
      assert.ok(Math.abs((rig.timers.waits[0] ?? 0) - hours * HOUR) < 1000);
    }
  });

  test('a certificate is renewed when its time comes', async () => {
    const rig = newRig(0);
    rig.manager.require(new Set([A]));
    await settled();
    rig.timers.advance(12 * HOUR);
    await settled();
    assert.deepEqual(rig.requests, [A, A]);
  });

  test('a failure is tried again, later each time', async () => {
    const rig = newRig();
    rig.fail = true;
    rig.manager.require(new Set([A]));
    const waits: (number | undefined)[] = [];
    for (let attempt = 0; attempt < 10; attempt++) {
      await settled();
      waits.push(rig.timers.waits[0]);
      rig.timers.advance(rig.timers.waits[0] ?? 0);
    }
    assert.deepEqual(waits.slice(0, 4), [1000, 2000, 4000, 8000]);
    assert.equal(waits.at(-1), 150_000);
    assert.match(await rig.metricsText(), /ambit_certificate_requests_total\{result="failure"\} 10/);
  });

  test('what has failed is requested soon after the signer is back, not after the pause that failures have earned', async () => {
    const rig = newRig();
    rig.fail = true;
    rig.manager.require(new Set([A, B]));
    for (let attempt = 0; attempt < 9; attempt++) {
      await settled();
      rig.timers.advance(rig.timers.waits.at(-1) ?? 0);
    }
    await settled();
    assert.ok((rig.timers.waits[0] ?? 0) > 100_000);
    rig.fail = false;
    rig.requests.length = 0;
    rig.manager.signerIsBack();
    assert.deepEqual(rig.timers.waits, [2500, 2500]);
    rig.timers.advance(2500);
    await settled();
    assert.deepEqual(rig.requests, [A, B]);
  });

  test('a request that fails after the signer came back under way is repeated after a short pause', async () => {
    const rig = newRig();
    rig.fail = true;
    rig.manager.require(new Set([A]));
    for (let attempt = 0; attempt < 9; attempt++) {
      await settled();
      rig.timers.advance(rig.timers.waits[0] ?? 0);
    }
    rig.manager.signerIsBack();
    assert.deepEqual(rig.timers.waits.length, 1);
    await settled();
    assert.equal(rig.timers.waits[0], 1000);
  });

  test('a signer that is back makes no requests for certificates that are there', async () => {
    const rig = newRig();
    rig.manager.require(new Set([A]));
    await settled();
    const { waits } = rig.timers;
    rig.manager.signerIsBack();
    assert.deepEqual(rig.timers.waits, waits);
  });

  test('the metric tells when the certificate in use ends, and goes with the last pod', async () => {
    const rig = newRig();
    rig.manager.require(new Set([A]));
    await settled();
    const end = /ambit_certificate_expiry_timestamp_seconds\{identity="([^"]+)"\} (\d+)/.exec(await rig.metricsText());
    assert.deepEqual(end?.slice(1), [A, String((rig.timers.now() + 24 * HOUR) / 1000)]);
    rig.manager.require(new Set());
    assert.doesNotMatch(await rig.metricsText(), /ambit_certificate_expiry_timestamp_seconds\{/);
  });

  test('a failed renewal keeps the certificate in use until it expires', async () => {
    const rig = newRig(0);
    rig.manager.require(new Set([A]));
    await settled();
    rig.fail = true;
    rig.timers.advance(12 * HOUR);
    await settled();
    assert.equal(rig.manager.status()[0]?.state, 'available');
    assert.ok(rig.held.has(A));
    rig.timers.advance(12 * HOUR);
    const [status] = rig.manager.status();
    assert.equal(status?.state, 'unavailable');
    assert.match(status.reason ?? '', /expired/);
  });

  test('a signer that never answers is given up after a while', async () => {
    const rig = newRig();
    rig.hang = true;
    rig.manager.require(new Set([A]));
    await settled();
    rig.timers.advance(10_000);
    await settled();
    assert.match(rig.manager.status()[0]?.reason ?? '', /within 10 s/);
  });

  test('an identity that no pod has any more is dropped, and its renewal with it', async () => {
    const rig = newRig();
    rig.manager.require(new Set([A, B]));
    await settled();
    rig.manager.require(new Set([B]));
    assert.deepEqual([...rig.held.keys()], [B]);
    assert.equal(rig.timers.waits.length, 1);
    assert.doesNotMatch(await rig.metricsText(), /expiry.*sa\/a/);
  });

  test('a certificate that comes after its identity was dropped is not used', async () => {
    const rig = newRig();
    rig.manager.require(new Set([A]));
    rig.manager.require(new Set());
    await settled();
    assert.equal(rig.held.size, 0);
    assert.deepEqual(rig.timers.waits, []);
  });

  test('at most four requests are under way', async () => {
    const rig = newRig();
    rig.hang = true;
    rig.manager.require(new Set(Array.from({ length: 9 }, (_, index) => `${A}${index}`)));
    await settled();
    assert.equal(rig.requests.length, 4);
  });

  test('whoever waits for the first attempt goes on when it failed', async () => {
    const rig = newRig();
    rig.fail = true;
    rig.manager.require(new Set([A]));
    await rig.manager.attempted(A);
    assert.equal(rig.manager.status()[0]?.state, 'unavailable');
  });

  test('neither the log nor the status holds a key', async () => {
    const rig = newRig();
    rig.manager.require(new Set([A]));
    await settled();
    assert.doesNotMatch(rig.log() + JSON.stringify(rig.manager.status()), /SECRET KEY/);
  });
});
