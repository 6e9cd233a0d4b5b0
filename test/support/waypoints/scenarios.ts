import type { Manifest } from '../manifests.ts';
import { httpRoute, marked, marking, to, toVersion, virtualService } from './documents.ts';

/** Documents of what a shop's waypoint is shown with. Answers are marked, so that whoever waits sees when they are in force. */

export interface Scenario {
  readonly mark: string;
  readonly documents: readonly Manifest[];
}

/** The second version has that share of the requests, in per cent. */
export function canary(weight: number): Scenario {
  const mark = `canary-${weight}`;
  const backendRefs = [toVersion('v1', 100 - weight), toVersion('v2', weight)];
  return { mark, documents: [httpRoute([{ filters: [marked(mark)], backendRefs }])] };
}

/** Who sends `x-tester: yes` has the second version, all others the first. */
export function testers(): Scenario {
  const mark = 'testers';
  const tester = { headers: [{ name: 'x-tester', value: 'yes' }] };
  const filters = [marked(mark)];
  const rules = [
    { matches: [tester], filters, backendRefs: [toVersion('v2')] },
    { filters, backendRefs: [toVersion('v1')] },
  ];
  return { mark, documents: [httpRoute(rules)] };
}

/** The first version answers, the second has a copy of each request. */
export function mirrored(): Scenario {
  const mark = 'mirror';
  const mirror = { type: 'RequestMirror', requestMirror: { backendRef: toVersion('v2') } };
  return { mark, documents: [httpRoute([{ filters: [mirror, marked(mark)], backendRefs: [toVersion('v1')] }])] };
}

export function delayed(time: string): Scenario {
  return ofFirst(`delay-${time}`, { fault: { delay: { fixedDelay: time, percentage: { value: 100 } } } });
}

/** That share of the requests is answered 418. Those for `/plain` are not: their answers have the mark. */
export function aborted(percent: number): Scenario {
  const mark = `abort-${percent}`;
  const plain = { match: [{ uri: { prefix: '/plain' } }], route: [to('v1')], headers: marking(mark) };
  const fault = { abort: { httpStatus: 418, percentage: { value: percent } } };
  return { mark, documents: [virtualService([plain, { fault, route: [to('v1')] }])] };
}

export function timedOut(time: string): Scenario {
  return ofFirst(`timeout-${time}`, { timeout: time });
}

/** Every second request for `/flaky` fails; so many attempts are made to hide it. */
export function retried(attempts: number): Scenario {
  const retries = { attempts, ...(attempts === 0 ? {} : { retryOn: '5xx' }) };
  return ofFirst(`retries-${attempts}`, { retries });
}

function ofFirst(mark: string, rule: Readonly<Record<string, unknown>>): Scenario {
  return { mark, documents: [virtualService([{ ...rule, route: [to('v1')], headers: marking(mark) }])] };
}
