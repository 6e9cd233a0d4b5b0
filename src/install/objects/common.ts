import { tokenAudience } from '../../control/certificates/tokens.ts';
import type { Values } from '../values.ts';
import { textOr } from '../symbolic.ts';

/** What every builder gets; in a chart's template all of it is placeholders. */
export interface Site {
  readonly values: Values;
  readonly namespace: string;
  readonly version: string;
}

/** Names that stock peers, tools and dashboards look for. */
export const controlName = 'istiod';
export const agentName = 'ztunnel';

export const ports = {
  xds: 15012,
  controlMetrics: 15014,
  webhook: 15017,

  agentMetrics: 15020,
  ready: 15021,
};

const partOf = { 'app.kubernetes.io/part-of': 'ambit', 'app.kubernetes.io/managed-by': 'ambit' };

export const controlSelector = { app: controlName };
export const agentSelector = { app: agentName };

export function controlLabels(): Readonly<Record<string, string>> {
  return { ...controlSelector, istio: 'pilot', 'istio.io/rev': 'default', ...partOf };
}

export function agentLabels(): Readonly<Record<string, string>> {
  return { ...agentSelector, 'istio.io/rev': 'default', ...partOf };
}

export function commonLabels(): Readonly<Record<string, string>> {
  return partOf;
}

export function imageOf({ values, version }: Site): string {
  const { repository, tag } = values.image;
  return `${repository}:${textOr(tag, version, '.Chart.AppVersion')}`;
}

export function environment(values: Readonly<Record<string, string>>): readonly { name: string; value: string }[] {
  return Object.entries(values).map(([name, value]) => ({ name, value }));
}

export function fromField(name: string, fieldPath: string): object {
  return { name, valueFrom: { fieldRef: { fieldPath } } };
}

/** The token by which the mesh knows its own parts, and nobody else. */
export const tokenVolume = {
  name: 'istio-token',
  projected: {
    sources: [{ serviceAccountToken: { path: 'istio-token', expirationSeconds: 43_200, audience: tokenAudience } }],
  },
};
