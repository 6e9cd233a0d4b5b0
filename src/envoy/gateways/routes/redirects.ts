import type { RedirectAction } from '../../http-rules.ts';
import type { RankedRule } from '../../routes/precedence.ts';
import type { GatewayServer } from '../server.ts';

const wellKnown = { http: 80, https: 443 } as const;

/**
 * A redirect of the Gateway API at a server: where it names no port, that of the scheme which it names is meant, else that of the
 * listener. Behind TLS of its own the scheme is known; without it somebody in front may have ended TLS, so the request says it.
 */
export function redirectAt(
  action: RedirectAction,
  { port, protocol }: Pick<GatewayServer, 'port' | 'protocol'>,
): RedirectAction {
  const own = protocol === 'https' ? 'https' : 'http';
  const scheme = action.scheme ?? (own === 'https' ? own : null);
  return { ...action, scheme, port: action.port ?? portOf(action, own, port) };
}

function portOf(
  { scheme, host }: Pick<RedirectAction, 'scheme' | 'host'>,
  own: keyof typeof wellKnown,
  port: number,
): number | null {
  const isUsual = port === wellKnown[own];
  if (scheme === null) return isUsual ? null : port;
  // Envoy leaves away what goes without saying only where the request was for a usual port, too.
  return isUsual && host === null ? null : wellKnown[scheme === 'https' ? 'https' : 'http'];
}

export function redirectedAt(ranked: RankedRule, server: Pick<GatewayServer, 'port' | 'protocol'>): RankedRule {
  const { rule } = ranked;
  if (rule.action.kind !== 'redirect') return ranked;
  return { ...ranked, rule: { ...rule, action: redirectAt(rule.action, server) } };
}
