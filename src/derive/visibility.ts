import type { MeshSettings } from '../model/workload.ts';
import type { Problem } from './endpoint-address.ts';

export type Circle = MeshSettings['serviceEntryVisibility'];

export interface Exported {
  /** Who sees the service; `none`: it is left out. */
  readonly circle: Circle;
  readonly problem: Problem | null;
}

const exportAnnotation = 'networking.istio.io/exportTo';

/** `exportTo` as Services have it. */
export function exportWords(annotations: Readonly<Record<string, string>>): readonly string[] {
  const words = (annotations[exportAnnotation] ?? '').split(',').map((word) => word.trim());
  return words.filter((word) => word !== '');
}

const width: Readonly<Record<Circle, number>> = { none: 0, namespace: 1, public: 2 };

/** What `exportTo` means: `.` and the own namespace that one, `*` all, `~` none; nothing said: all. */
export function exportedTo(exportTo: readonly string[], namespace: string): Exported {
  const words = exportTo.filter((word) => word !== '~');
  if (words.length === 0) return { circle: exportTo.length === 0 ? 'public' : 'none', problem: null };
  if (words.includes('*')) return { circle: 'public', problem: null };
  const others = words.filter((word) => word !== '.' && word !== namespace);
  if (others.length === 0) return { circle: 'namespace', problem: null };
  const message =
    `exportTo names ${others.join(', ')}: a service is seen by its own namespace or by all, not by some; ` +
    'all of them see it';
  return { circle: 'public', problem: { reason: 'ExportToNamespaces', message } };
}

/** The narrower of what the entry and the settings say. */
export function limitedBy(exported: Exported, setting: Circle, isExplicit: boolean): Exported {
  if (width[exported.circle] <= width[setting]) return exported;
  if (!isExplicit && setting !== 'none') return { circle: setting, problem: null };
  const consequence = setting === 'none' ? 'the entry has no effect' : 'only its own namespace sees it';
  const message = `the setting serviceEntryVisibility is ${setting}: ${consequence}`;
  return { circle: setting, problem: { reason: 'LimitedBySetting', message } };
}
