/** `example.com`, `*.example.com` (at least one label more, dots included) or `*`, in lower case. */
export type HostPattern = string;

/** Every name. */
export const anyHost: HostPattern = '*';

/** Whether all that the narrower one means is meant by the wider one, too. */
export function covers(wider: HostPattern, narrower: HostPattern): boolean {
  if (wider === anyHost || wider === narrower) return true;
  return wider.startsWith('*.') && narrower.endsWith(wider.slice(1));
}

/** What both mean; null: nothing. Two patterns never meet in part: one of them is within the other, or they are apart. */
export function intersection(left: HostPattern, right: HostPattern): HostPattern | null {
  if (covers(left, right)) return right;
  return covers(right, left) ? left : null;
}

/** All patterns that cover it, from itself to the widest. */
export function coveringPatterns(host: HostPattern): readonly HostPattern[] {
  if (host === anyHost) return [anyHost];
  const labels = host.split('.');
  const wider = labels.slice(1).map((_, index) => `*.${labels.slice(index + 1).join('.')}`);
  return [...new Set([host, ...wider, anyHost])];
}

/** None said: every one. */
export function orAnyHost(hostnames: readonly HostPattern[]): readonly HostPattern[] {
  return hostnames.length === 0 ? [anyHost] : hostnames;
}
