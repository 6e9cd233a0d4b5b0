import type { Workload } from '../model/workload.ts';
import type { Labels } from './selectors.ts';

const tunnelLabel = 'networking.istio.io/tunnel';
/** What is, where labels say what is wanted. */
export const redirectionAnnotation = 'ambient.istio.io/redirection';

/**
 * Whether a workload takes HBONE by what is written on it: `networking.istio.io/tunnel: http` (label or annotation) says
 * that it speaks it itself, `ambient.istio.io/redirection: enabled` that a node proxy, ours or a stock one, does.
 */
export function tunnelOf(labels: Labels, annotations: Labels): Pick<Workload, 'protocol' | 'nativeTunnel'> {
  const nativeTunnel = labels[tunnelLabel] === 'http' || annotations[tunnelLabel] === 'http';
  const redirected = annotations[redirectionAnnotation] === 'enabled';
  return { protocol: nativeTunnel || redirected ? 'hbone' : 'tcp', nativeTunnel };
}
