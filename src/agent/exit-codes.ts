import { errorCode } from '../config/errors.ts';

/** What the exit status of every command says. */
export const EXIT = {
  ok: 0,
  /** Something failed that was not the caller's doing. */
  fault: 1,
  /** Wrong flags, settings or files named by them. */
  usage: 2,
  /** This machine lacks what the agent needs: a kernel feature, a mount, root. */
  unsupported: 3,
} as const;

const USAGE_CODES = new Set([
  'SETTINGS_INVALID',
  'MANIFESTS_UNREADABLE',
  'STATE_DIR_UNUSABLE',
  'CA_EXISTS',
  'CA_UNREADABLE',
  'CA_INSECURE',
  'CA_INVALID',
  'CA_EXPIRED',
  'KUBECONFIG_UNUSABLE',
]);
const UNSUPPORTED_CODES = new Set([
  'ROOT_NEEDED',
  'NOT_PERMITTED',
  'KERNEL_FEATURE_MISSING',
  'BPFFS_VOLATILE',
  'BPFFS_UNUSABLE',
  'CGROUP_MISSING',
  'ADDON_MISSING',
  'ADDON_UNUSABLE',
]);

export function exitCodeOf(error: unknown): number {
  const code = errorCode(error);
  if (code !== null && USAGE_CODES.has(code)) return EXIT.usage;
  if (code !== null && UNSUPPORTED_CODES.has(code)) return EXIT.unsupported;
  return EXIT.fault;
}
