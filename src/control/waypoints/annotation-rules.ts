import type { WaypointObjectKind } from './object-metadata.ts';

/**
 * Annotations that a Gateway or its parameters may put on objects, by who reads them. A name with another prefix may be somebody's word for
 * an identity of a cloud, a secret, a network or a further container, which whoever may write a Gateway need not be allowed to have; so what may
 * be is told.
 */
const forPods: readonly string[] = [
  'prometheus.io/',
  'cluster-autoscaler.kubernetes.io/',
  'descheduler.alpha.kubernetes.io/',
  'karpenter.sh/',
  'controller.kubernetes.io/pod-deletion-cost',
  'kubectl.kubernetes.io/default-container',
  'kubectl.kubernetes.io/restartedAt',
  'checksum/',
];

/** Of those who make load balancers, give them addresses, or names to these. */
const forServices: readonly string[] = [
  'prometheus.io/',
  'service.beta.kubernetes.io/',
  'service.kubernetes.io/',
  'networking.istio.io/',
  'external-dns.alpha.kubernetes.io/',
  'cloud.google.com/',
  'networking.gke.io/',
  'oci.oraclecloud.com/',
  'oci-network-load-balancer.oraclecloud.com/',
  'load-balancer.hetzner.cloud/',
  'loadbalancer.openstack.org/',
  'metallb.io/',
  'metallb.universe.tf/',
  'kube-vip.io/',
  'lbipam.cilium.io/',
  'io.cilium/',
];

const namesByKind: Readonly<Record<WaypointObjectKind, readonly string[]>> = {
  // Whoever gives accounts an identity outside of the cluster reads it there.
  ServiceAccount: [],
  Service: forServices,
  Deployment: forPods,
  HorizontalPodAutoscaler: [],
  PodDisruptionBudget: [],
};

/** Names without a prefix are private to users, as Kubernetes has it: nobody's machinery goes by them. */
export function mayAnnotate(kind: WaypointObjectKind, name: string): boolean {
  if (!name.includes('/')) return true;
  return namesByKind[kind].some((known) => (known.endsWith('/') ? name.startsWith(known) : name === known));
}

/** Whether there is any object that it may be put on. */
export function mayAnnotateAny(name: string): boolean {
  return (Object.keys(namesByKind) as WaypointObjectKind[]).some((kind) => mayAnnotate(kind, name));
}

/** Beginnings of the names with a prefix that objects of the kind may have. */
export function annotationNames(kind: WaypointObjectKind): readonly string[] {
  return namesByKind[kind];
}

/** Of those that a Gateway asks for, the ones that objects of the kind get. */
export function annotationsFor(kind: WaypointObjectKind, annotations: Annotations): Annotations {
  return Object.fromEntries(Object.entries(annotations).filter(([name]) => mayAnnotate(kind, name)));
}

type Annotations = Readonly<Record<string, string>>;
