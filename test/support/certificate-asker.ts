/** Asks the CA for one certificate, from the namespace that it runs in. Its input: whom to ask, and for what, as JSON. */
import process from 'node:process';

import { AmbitError } from '../../src/config/errors.ts';
import type { ControlEndpoint } from '../../src/config/setting-parsers.ts';
import { createAgentMetrics } from '../../src/telemetry/metrics.ts';
import { systemTimers } from '../../src/timing/timers.ts';
import { CertificateClient } from '../../src/xds/certificate-client.ts';

interface Order {
  readonly endpoint: ControlEndpoint;
  readonly tokenFile: string;
  readonly rootFile: string;
  readonly spiffeId: string;
  /** Name in the server's certificate, where it is not the host's. */
  readonly serverName?: string;
}

let input = '';
for await (const chunk of process.stdin) input += String(chunk);
const { spiffeId, serverName = null, ...access } = JSON.parse(input) as Order;
const client = new CertificateClient({
  access: { ...access, serverName, clusterId: 'Kubernetes', token: null, headers: [] },
  ttl: 3_600_000,
  timers: systemTimers,
  metrics: createAgentMetrics('test'),
});
try {
  await client.sign(spiffeId, AbortSignal.timeout(10_000));
  console.log(JSON.stringify({ issued: true, code: null, message: null }));
} catch (error) {
  if (!(error instanceof AmbitError)) throw error;
  console.log(JSON.stringify({ issued: false, code: error.code, message: error.message }));
}
client.close();
