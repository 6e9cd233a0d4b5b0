import { AmbitError } from '../../config/errors.ts';
import { isNotFound } from '../../kube/kube-error.ts';
import type { Timers } from '../../timing/timers.ts';
import { installation } from '../installation.ts';
import type { ManifestObject } from '../manifest-object.ts';
import type { Site } from '../objects/common.ts';
import { nameOf, objectPath } from './api-kinds.ts';
import { waitForDefinitions } from './definitions.ts';
import { applyObject, deleteObject } from './live-objects.ts';
import type { Api, LiveObject } from './live-objects.ts';
import { installedObjects, namespacesOf } from './ownership.ts';
import { patientApi } from './patient-api.ts';
import { planOf } from './plan.ts';
import type { PlannedObject } from './plan.ts';
import { poll } from './polling.ts';
import { waitForRollout } from './rollout.ts';

/** What the steps of an installation use. */
export interface InstallerTools {
  readonly api: Api;
  readonly timers: Timers;
  readonly signal: AbortSignal;
  /** One line of progress. */
  readonly report: (line: string) => void;
}

export interface InstallOptions {
  readonly site: Site;
  /** Takes over what others have made or set. */
  readonly force: boolean;
  readonly dryRun: boolean;
  /** Milliseconds that an API server which is away is waited for, and after that the rollout; null: neither is. */
  readonly wait: number | null;
}

const DEFINITIONS_DEADLINE_MS = 60_000;
/** Of a kind that was just defined: each of several API servers takes it up in its own time. */
const NEW_KIND_DEADLINE_MS = 15_000;

/**
 * Brings the installation about, by server-side apply. Everything is tried without effect first, so what the API server refuses
 * is told all at once, and before anything is changed.
 *
 * @throws AmbitError `INSTALLED_ELSEWHERE`, `INSTALL_REFUSED`, `DEFINITION_NOT_ESTABLISHED`, `ROLLOUT_UNFINISHED`; KubeError
 */
export async function install(tools: InstallerTools, options: InstallOptions): Promise<void> {
  const { report } = tools;
  const { site, force, dryRun, wait } = options;
  const patient = patientTools(tools, wait);
  const { api } = patient;
  const present = await installedObjects(api);
  refuseSecond(site.namespace, present);
  const plan = await planOf(api, installation(site));
  refuse(plan, force);
  const superfluous = superfluousIn(present, plan);
  if (dryRun) {
    for (const planned of plan) report(`${describeStep(planned)} ${describePlanned(planned)}`);
    for (const object of superfluous) report(`${verb('remove')} ${nameOf(object)}`);
    return;
  }
  await apply(patient, plan, force);
  for (const object of superfluous) if (await deleteObject(api, object)) report(`${verb('removed')} ${nameOf(object)}`);
  if (wait !== null) await roll(patientTools(tools, wait), plan, wait);
}

/** Who waits for the rollout waits for an API server that is away, too. */
function patientTools(tools: InstallerTools, wait: number | null): InstallerTools {
  return wait === null ? tools : { ...tools, api: patientApi({ ...tools, limit: wait }) };
}

/** The mesh's settings and definitions are of the whole cluster: two installations would take them from each other. */
function refuseSecond(namespace: string, present: readonly LiveObject[]): void {
  const [other] = namespacesOf(present).filter((name) => name !== namespace);
  if (other === undefined) return;
  const advice = `give --namespace ${other} to change that one, or remove it with \`ambit uninstall --namespace ${other}\``;
  throw new AmbitError('INSTALLED_ELSEWHERE', `Ambit is installed in the namespace ${other}: ${advice}`);
}

function refuse(plan: readonly PlannedObject[], force: boolean): void {
  const conflicts = force ? [] : plan.flatMap(linesOf('conflicts'));
  const failures = plan.flatMap(linesOf('failures'));
  if (conflicts.length + failures.length === 0) return;
  const advice =
    conflicts.length === 0 ? [] : ['What others own is taken over with --force; docs/install.md says when.'];
  const text = ['nothing was changed:', ...failures, ...conflicts, ...advice].join('\n  ');
  throw new AmbitError('INSTALL_REFUSED', text);
}

function linesOf(list: 'conflicts' | 'failures'): (planned: PlannedObject) => readonly string[] {
  return (planned) => planned[list].map((line) => `${nameOf(planned.object)}: ${line}`);
}

/** What a former installation had, and this one has not: values were switched off, or versions have other objects. */
function superfluousIn(present: readonly LiveObject[], plan: readonly PlannedObject[]): readonly LiveObject[] {
  const wanted = new Set(plan.map(({ object }) => objectPath(object)));
  return present.filter((object) => !wanted.has(objectPath(object)));
}

async function apply(tools: InstallerTools, plan: readonly PlannedObject[], force: boolean): Promise<void> {
  const isFirst = ({ object }: PlannedObject): boolean =>
    object.kind === 'Namespace' || object.kind === 'CustomResourceDefinition';
  for (const planned of plan.filter(isFirst)) await applyOne(tools, planned, force);
  const definitions = plan.map(({ object }) => object).filter(({ kind }) => kind === 'CustomResourceDefinition');
  await waitForDefinitions(tools.api, definitions, { ...tools, limit: DEFINITIONS_DEADLINE_MS });
  for (const planned of plan) if (!isFirst(planned)) await applyOne(tools, planned, force);
}

async function applyOne(tools: InstallerTools, planned: PlannedObject, force: boolean): Promise<void> {
  const { object, step } = planned;
  // Also what is as it should be: from now on its fields are ours.
  if (step !== 'leave') await applyOnceServed(tools, object, force);
  tools.report(`${verb(done[step])} ${describePlanned(planned)}`);
}

async function applyOnceServed(tools: InstallerTools, object: ManifestObject, force: boolean): Promise<void> {
  let last: unknown = null;
  const applied = await poll({ ...tools, limit: NEW_KIND_DEADLINE_MS }, async () => {
    try {
      return await applyObject(tools.api, object, { force, dryRun: false });
    } catch (error) {
      if (!isNotFound(error)) throw error;
      last = error;
      return null;
    }
  });
  if (applied === null) throw last;
}

async function roll(tools: InstallerTools, plan: readonly PlannedObject[], limit: number): Promise<void> {
  tools.report('waiting    for the control plane and the agents');
  const objects = plan.map(({ object }) => object);
  await waitForRollout(tools.api, objects, { ...tools, limit });
  tools.report('ready      control plane and agents');
}

const done = { create: 'created', change: 'changed', keep: 'unchanged', leave: 'left' } as const;

function verb(word: string): string {
  return word.padEnd(10);
}

function describeStep({ step }: PlannedObject): string {
  return verb(step);
}

function describePlanned({ object, step, differences }: PlannedObject): string {
  if (step === 'leave') return `${nameOf(object)}: somebody else has installed it, and it serves what is needed`;
  return step === 'change' ? `${nameOf(object)} (${differences.join(', ')})` : nameOf(object);
}
