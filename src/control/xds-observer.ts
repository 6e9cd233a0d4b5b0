import type { ControlMetrics } from '../telemetry/control-metrics.ts';
import type { DiscoveryDependencies } from './discovery/discovery-service.ts';

/** What streams do, as metrics. */
export function xdsObserver(metrics: ControlMetrics): DiscoveryDependencies['observer'] {
  const short = (type: string): { readonly type: string } => ({ type: type.slice(type.lastIndexOf('.') + 1) });
  return {
    pushed: (type) => {
      metrics.pushes.inc(short(type));
    },
    acknowledged: (type, seconds) => {
      metrics.acknowledgeSeconds.observe(short(type), seconds);
    },
    rejected: (type) => {
      metrics.rejects.inc(short(type));
    },
    connected: (count) => {
      metrics.clients.set(count);
    },
  };
}
