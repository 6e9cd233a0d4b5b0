import { readLogFields } from '../config/manifests/schemas/access-log-settings.ts';
import type { MeshSettingsFields } from '../config/manifests/schemas/mesh-settings.ts';
import type { AccessLogFormat, HttpSettings } from './model.ts';

const normalizations = {
  DEFAULT: 'merge-slashes',
  NONE: 'none',
  BASE: 'base',
  MERGE_SLASHES: 'merge-slashes',
  DECODE_AND_MERGE_SLASHES: 'decode-and-merge-slashes',
} as const satisfies Record<
  MeshSettingsFields['pathNormalization']['normalization'],
  HttpSettings['pathNormalization']
>;

/** What the MeshSettings say of HTTP at waypoints. */
export function httpSettings(settings: MeshSettingsFields): HttpSettings {
  return {
    pathNormalization: normalizations[settings.pathNormalization.normalization],
    trustedProxies: settings.numTrustedProxies,
    headers: { kibibytes: settings.maxRequestHeadersKb, count: settings.maxRequestHeadersCount },
    accessLog:
      settings.accessLogFile === '' ? null : { format: formatOf(settings), sampling: settings.accessLogSampling },
  };
}

function formatOf({ accessLogEncoding, accessLogFormat }: MeshSettingsFields): AccessLogFormat {
  if (accessLogEncoding === 'TEXT') return { kind: 'text', line: accessLogFormat === '' ? null : accessLogFormat };
  return { kind: 'json', fields: readLogFields(accessLogFormat) };
}
