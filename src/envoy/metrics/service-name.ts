/** `web` of `web.shop.svc.cluster.local`, as metrics name a service; a host that is no Kubernetes Service is its own name. */
export function serviceName(hostname: string, namespace: string): string {
  const end = hostname.indexOf(`.${namespace}.svc.`);
  return end > 0 && !hostname.slice(0, end).includes('.') ? hostname.slice(0, end) : hostname;
}
