import type { MeshSettingsDocument } from '../../../config/manifests/schemas/mesh-settings.ts';
import type { DerivedCollection, Read } from '../../../derive/collections/derived-collection.ts';
import type { DerivationParts } from '../../../derive/extension.ts';
import { settingsKey } from '../../../derive/sources.ts';
import type { SettledPort } from '../../../envoy/gateways/servers/settle-ports.ts';

/** What the mesh's settings say of what is before gateways. */
export interface Topology {
  readonly proxyProtocol: boolean;
  readonly http3: boolean;
}

const plain: Topology = { proxyProtocol: false, http3: false };

/** Apart from the rest of the settings: a change of those makes no port anew. */
export class GatewayTopology {
  readonly collection: DerivedCollection<Topology>;

  constructor({ graph, sources }: DerivationParts) {
    this.collection = graph.derive<MeshSettingsDocument, Topology>({
      name: 'topology of gateways',
      from: sources.MeshSettings,
      compute: ({ spec: { gatewayTopology } }) => gatewayTopology,
    });
  }

  read(read: Read): Topology {
    return read.get(this.collection, settingsKey) ?? plain;
  }

  /** Where requests come by TLS that ends here; a header of PROXY protocol there is of connections alone. */
  hasHttp3({ serves }: SettledPort, read: Read): boolean {
    const { proxyProtocol, http3 } = this.read(read);
    return (
      http3 && !proxyProtocol && serves.kind === 'tls' && serves.sites.some(({ protocol }) => protocol === 'https')
    );
  }
}
