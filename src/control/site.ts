import type { Authority } from '../ca/authority.ts';
import type { MeshInput } from '../config/mesh-input.ts';
import type { Captured } from '../derive/context.ts';
import type { Condition, MeshState } from '../model/workload.ts';
import type { TokenVerifier } from './certificates/authenticator.ts';
import type { LivePods } from './certificates/live-pods.ts';
import type { GatewayReports } from './gateway-report.ts';
import type { NamedReference } from './named-reference.ts';
import type { Presence } from './presence.ts';
import type { ServingCertificate } from './serving-certificate.ts';

/** What of a control plane differs between a folder of manifests and a cluster. */
export interface ControlSite {
  /** What is waited for at first, for readiness. */
  readonly task: string;
  readonly input: MeshInput;
  readonly captured: Captured;
  /** Wants to know who is connected; null: the cluster says by itself which pods are ready. */
  readonly presence: Presence | null;
  /**
   * For documents that are read one by one, by their names: has these followed and no others. Each comes as a document, or as an
   * `UnreadableObject`. null: all documents come by themselves.
   */
  readonly follow: ((references: readonly NamedReference[]) => void) | null;
  /** Resolves when each of those that are followed now has come, or after a while that is enough where somebody answers; null likewise. */
  readonly followed: ((signal: AbortSignal) => Promise<void>) | null;
  /** What cannot be read at all, beside what derivations say of what can be. */
  readonly problems: () => readonly Condition[];
  openAuthority(): Promise<Authority>;
  openVerifier(pods: LivePods): Promise<TokenVerifier>;
  /** What runs beside serving; resolves when it has ended after the signal. */
  attend(parts: SiteParts, signal: AbortSignal): Promise<void>;
}

export interface SiteParts {
  readonly authority: Authority;
  readonly certificate: ServingCertificate;
  readonly mesh: () => MeshState;
  /** Which documents have the waypoint that they ask for. */
  readonly bound: () => readonly Condition[];
  /** What Envoys of waypoints have refused. */
  readonly refused: () => readonly Condition[];
  /** What has become of gateways. */
  readonly gateways: () => GatewayReports;
}
