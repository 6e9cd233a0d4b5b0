/** A name without a dot is one of the manifest's own namespace; every other is meant as it is written. */
export function fullHostname(host: string, namespace: string, clusterDomain: string): string {
  return host.includes('.') ? host : `${host}.${namespace}.svc.${clusterDomain}`;
}
