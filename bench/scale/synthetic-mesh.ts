import { authorizationPolicySchema } from '../../src/config/manifests/schemas/authorization-policy.ts';
import { namespaceSchema, nodeSchema } from '../../src/config/manifests/schemas/core.ts';
import { peerAuthenticationSchema } from '../../src/config/manifests/schemas/peer-authentication.ts';
import { podSchema } from '../../src/config/manifests/schemas/pod.ts';
import { serviceSchema } from '../../src/config/manifests/schemas/service.ts';
import type { DocumentChange } from '../../src/config/mesh-input.ts';

export interface MeshSize {
  /** Pods. */
  readonly workloads: number;
  /** Nodes; pods are dealt out to them in turn. */
  readonly nodes: number;
}

const podsPerService = 10;
const podsPerNamespace = 200;

/** A mesh as clusters have it: ten replicas to a Service, 200 pods to a namespace, one policy in each of those. */
export class SyntheticMesh {
  readonly size: MeshSize;

  constructor(size: MeshSize) {
    this.size = size;
  }

  get namespaces(): number {
    return Math.ceil(this.size.workloads / podsPerNamespace);
  }

  get services(): number {
    return Math.ceil(this.size.workloads / podsPerService);
  }

  /** Everything, once. Document by document, so that the caller can give way in between. */
  *documents(): Generator<DocumentChange, void> {
    for (let index = 0; index < this.size.nodes; index++) yield this.#node(index);
    for (let index = 0; index < this.namespaces; index++) {
      yield this.#namespace(index);
      yield this.#policy(index);
    }
    yield strictMesh();
    for (let index = 0; index < this.services; index++) yield this.#service(index);
    for (let index = 0; index < this.size.workloads; index++) yield this.pod(index, true);
  }

  /** @param ready a pod that is not becomes an unhealthy endpoint */
  pod(index: number, ready: boolean): DocumentChange {
    const service = Math.floor(index / podsPerService);
    const app = `app-${service}`;
    const replicaSet = `${app}-7d4b9c6f5d`;
    const document = podSchema.parse(
      received({
        metadata: {
          name: `${replicaSet}-${suffix(index)}`,
          namespace: this.#namespaceOf(service),
          uid: podUid(index),
          labels: { app, version: 'v1', 'pod-template-hash': '7d4b9c6f5d' },
          annotations: { 'ambient.istio.io/redirection': 'enabled' },
          ownerReferences: [{ kind: 'ReplicaSet', name: replicaSet, controller: true }],
        },
        spec: {
          nodeName: nodeName(index % this.size.nodes),
          serviceAccountName: app,
          containers: [
            {
              name: 'app',
              ports: [{ name: 'http', containerPort: 8080 }],
              readinessProbe: { httpGet: { port: 'http' } },
            },
          ],
        },
        status: {
          phase: 'Running',
          podIP: podAddress(index),
          podIPs: [{ ip: podAddress(index) }],
          conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }],
        },
      }),
    );
    return { kind: 'Pod', key: `${document.metadata.namespace}/${document.metadata.name}`, document };
  }

  #namespaceOf(service: number): string {
    return `team-${Math.floor((service * podsPerService) / podsPerNamespace)}`;
  }

  #node(index: number): DocumentChange {
    const labels = { 'topology.kubernetes.io/region': 'region-1', 'topology.kubernetes.io/zone': `zone-${index % 3}` };
    const name = nodeName(index);
    return { kind: 'Node', key: name, document: nodeSchema.parse({ metadata: { name, labels } }) };
  }

  #namespace(index: number): DocumentChange {
    const labels = { 'istio.io/dataplane-mode': 'ambient' };
    const name = `team-${index}`;
    return { kind: 'Namespace', key: name, document: namespaceSchema.parse({ metadata: { name, labels } }) };
  }

  #policy(index: number): DocumentChange {
    const document = authorizationPolicySchema.parse({
      apiVersion: 'security.istio.io/v1',
      kind: 'AuthorizationPolicy',
      metadata: { name: 'neighbours', namespace: `team-${index}` },
      spec: { rules: [{ from: [{ source: { namespaces: [`team-${index}`, 'ingress'] } }] }] },
    });
    return { kind: 'AuthorizationPolicy', key: `team-${index}/neighbours`, document };
  }

  #service(index: number): DocumentChange {
    const document = serviceSchema.parse({
      metadata: { name: `app-${index}`, namespace: this.#namespaceOf(index) },
      spec: {
        clusterIP: serviceAddress(index),
        selector: { app: `app-${index}` },
        ports: [{ name: 'http', port: 80, targetPort: 'http' }],
      },
    });
    return { kind: 'Service', key: `${document.metadata.namespace}/${document.metadata.name}`, document };
  }
}

/** As it comes from the API server. Texts that were put together here would be kept in pieces, which takes more memory. */
function received(document: object): unknown {
  return JSON.parse(JSON.stringify(document));
}

function strictMesh(): DocumentChange {
  const document = peerAuthenticationSchema.parse({
    apiVersion: 'security.istio.io/v1',
    kind: 'PeerAuthentication',
    metadata: { name: 'default', namespace: 'istio-system' },
    spec: { mtls: { mode: 'STRICT' } },
  });
  return { kind: 'PeerAuthentication', key: 'istio-system/default', document };
}

export function nodeName(index: number): string {
  return `worker-${index}`;
}

function podAddress(index: number): string {
  return `10.${(index >> 16) & 255}.${(index >> 8) & 255}.${index & 255}`;
}

export function serviceAddress(index: number): string {
  return `172.${16 + ((index >> 16) & 15)}.${(index >> 8) & 255}.${index & 255}`;
}

export function podUid(index: number): string {
  return `6f1c2d3e-0000-4000-8000-${index.toString(16).padStart(12, '0')}`;
}

/** Five characters, as Kubernetes appends them. */
function suffix(index: number): string {
  return index.toString(36).padStart(5, 'x');
}
