import type { Condition } from '../model/workload.ts';
import { condition } from './context.ts';
import type { Labels } from './selectors.ts';

const conditionType = 'istio.io/WaypointBound';
const waypointLabel = 'istio.io/use-waypoint';
const canaryLabel = 'istio.io/use-waypoint-canary';
const ingressLabel = 'istio.io/ingress-use-waypoint';

/** Labels that send traffic through a waypoint, on whatever bears them. `none` asks for what happens anyway. */
export function waypointConditions(resource: string, labels: Labels): readonly Condition[] {
  const asked = [waypointLabel, canaryLabel].filter((label) => (labels[label] ?? 'none') !== 'none');
  if (labels[ingressLabel] === 'true') asked.push(ingressLabel);
  return asked.map((label) => {
    const message = `the label ${label} is ${labels[label] ?? ''}: waypoints are not supported yet, traffic goes direct`;
    return condition(resource, conditionType, 'WaypointNotSupported', message);
  });
}
