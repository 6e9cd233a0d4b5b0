import type { MeshSettingsDocument } from '../../config/manifests/schemas/mesh-settings.ts';
import type { DerivedCollection, Read } from '../../derive/collections/derived-collection.ts';
import type { DerivationParts } from '../../derive/extension.ts';
import { settingsKey } from '../../derive/sources.ts';
import { httpSettings } from '../../envoy/http-settings.ts';
import { defaultHttpSettings } from '../../envoy/model.ts';
import type { HttpSettings } from '../../envoy/model.ts';

/** Of all waypoints and gateways, apart from the rest of the mesh's settings: a change of those makes no chain anew. */
export class WaypointHttp {
  readonly settings: DerivedCollection<HttpSettings>;

  constructor({ graph, sources }: DerivationParts) {
    this.settings = graph.derive<MeshSettingsDocument, HttpSettings>({
      name: 'HTTP at waypoints',
      from: sources.MeshSettings,
      compute: ({ spec }) => httpSettings(spec),
    });
  }

  read(read: Read): HttpSettings {
    return read.get(this.settings, settingsKey) ?? defaultHttpSettings;
  }
}
