import assert from 'node:assert/strict';

import { certificateRequest } from '../certificate-request.ts';
import type { ControlHarness } from '../control.ts';
import type { EnvoyCredentials } from './discovering-envoy.ts';

/** A certificate of the waypoint `shop/waypoint`, or of another proxy of `shop`, as the agent of its pod gets one. */
export async function waypointCredentials(
  control: ControlHarness,
  { pod, serviceAccount } = { pod: 'waypoint-1', serviceAccount: 'waypoint' },
): Promise<EnvoyCredentials> {
  const { csr, key } = await certificateRequest(`spiffe://cluster.local/ns/shop/sa/${serviceAccount}`);
  const token = await control.token({ pod: `shop/${pod}` });
  const { chain, details } = await control.certificate({ csr, validityDuration: 3600n }, { token });
  assert.notEqual(chain.length, 0, details);
  return { certificate: chain.join(''), key, roots: control.roots };
}
