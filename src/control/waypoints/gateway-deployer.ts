import { isWaypointClass } from '../../derive/waypoints/waypoint.ts';
import type { KubeClient } from '../../kube/kube-client.ts';
import { isNotFound, KubeError } from '../../kube/kube-error.ts';
import { isKubeObject } from '../../kube/objects.ts';
import type { KubeObject } from '../../kube/objects.ts';
import { WorkQueue } from '../../kube/work-queue.ts';
import type { Condition } from '../../model/workload.ts';
import { aborted } from '../../process/lifecycle.ts';
import { pause } from '../../timing/pause.ts';
import type { Random, Timers } from '../../timing/timers.ts';
import { apply } from './apply.ts';
import { borrowsAccount, checkAccount } from './borrowed-account.ts';
import { gatewayKey } from './gateway-object.ts';
import type { GatewayObject } from './gateway-object.ts';
import { gatewayStatus, saysAlready } from './gateway-status.ts';
import type { GatewayAddress, Refusal } from './gateway-status.ts';
import type { LiveWaypoints } from './live-waypoints.ts';
import { isMadeFor } from './made-for.ts';
import { covers } from './object-difference.ts';
import { gatewayApi, pathOfObject, waypointKinds } from './waypoint-kinds.ts';
import { digestAnnotation, sealed, waypointNames, waypointObjects } from './waypoint-objects.ts';
import type { WaypointObject } from './waypoint-objects.ts';
import { checkGateway, ParametersError, readParameters, withParameters } from './waypoint-parameters.ts';
import type { DeploymentTerms } from './deployment-terms.ts';

export interface GatewayDeployerDependencies {
  readonly client: Pick<KubeClient, 'send'>;
  readonly live: LiveWaypoints;
  readonly terms: DeploymentTerms;
  readonly clusterDomain: () => string;
  /** What is said of objects of the mesh; those on Gateways become part of their status. */
  readonly notes: () => readonly Condition[];
  readonly timers: Timers;
  readonly random: Random;
  readonly onFailure: (gateway: string, error: unknown, failures: number) => void;
}

const CONCURRENCY = 4;
const NOTES_EVERY_MS = 1000;
/** Parameters and others' accounts may be read, not watched: whoever changes them waits so long. */
const PARAMETERS_EVERY_MS = 30_000;
/** As Istio counts its templates: a Gateway that a newer controller has taken over is left to it. */
const controllerVersion = 5;
const versionAnnotation = 'gateway.istio.io/controller-version';

/** Makes a waypoint of each Gateway that asks for one, keeps it as it should be, and says in its status what has become of it. */
export class GatewayDeployer {
  readonly #dependencies: GatewayDeployerDependencies;
  readonly #queue: WorkQueue;
  /** By path, the digest of what was applied last: of kinds that are not watched. */
  readonly #applied = new Map<string, string>();

  constructor(dependencies: GatewayDeployerDependencies) {
    this.#dependencies = dependencies;
    const { timers, random, onFailure } = dependencies;
    this.#queue = new WorkQueue({
      work: (key) => this.#reconcile(key),
      concurrency: CONCURRENCY,
      timers,
      random,
      onFailure,
    });
  }

  /** For the leader only; resolves after the signal. */
  async run(signal: AbortSignal): Promise<void> {
    const { live } = this.#dependencies;
    // Before all is known, what is there already would be applied once more.
    await Promise.race([live.synced, aborted(signal)]);
    if (!signal.aborted)
      live.listen((key) => {
        this.#queue.add(key);
      });
    await this.#followNotes(signal);
    await this.#queue.stop();
  }

  async #followNotes(signal: AbortSignal): Promise<void> {
    const { timers } = this.#dependencies;
    for (let before = new Map<string, string>(); !signal.aborted;) {
      const now = this.#notesByGateway();
      for (const key of new Set([...before.keys(), ...now.keys()]))
        if (before.get(key) !== now.get(key)) this.#queue.add(key);
      before = now;
      await pause(NOTES_EVERY_MS, timers, signal);
    }
  }

  #notesByGateway(): Map<string, string> {
    const notes = new Map<string, string>();
    for (const note of this.#dependencies.notes()) {
      const key = keyOfNote(note);
      if (key !== null) notes.set(key, `${notes.get(key) ?? ''}${JSON.stringify(note)}`);
    }
    return notes;
  }

  async #reconcile(key: string): Promise<void> {
    const gateway = this.#dependencies.live.gateways.get(key);
    if (gateway === null || !this.#isOurs(gateway)) return;
    if (gateway.spec.infrastructure.parametersRef !== null || borrowsAccount(gateway))
      this.#queue.addAfter(key, PARAMETERS_EVERY_MS);
    try {
      await this.#deploy(gateway);
      await this.#say(gateway, null);
    } catch (error) {
      const refusal = refusalOf(error);
      if (refusal === null) throw error;
      await this.#say(gateway, refusal);
      // The API server may think otherwise later, as when a quota is raised.
      if (refusal.type === 'Programmed') throw error;
    }
  }

  #isOurs({ metadata, spec }: GatewayObject): boolean {
    const { live } = this.#dependencies;
    const controller = live.classes.get(spec.gatewayClassName)?.controllerName ?? null;
    const version = Number(metadata.annotations[versionAnnotation] ?? 0);
    // A Gateway that names a host stands for a waypoint that somebody else runs there.
    const elsewhere = spec.addresses.some(({ type }) => type === 'Hostname');
    return (
      metadata.deletionTimestamp === null &&
      isWaypointClass(spec.gatewayClassName, controller) &&
      !elsewhere &&
      !(version > controllerVersion)
    );
  }

  async #deploy(gateway: GatewayObject): Promise<void> {
    const { client, terms } = this.#dependencies;
    checkGateway(gateway);
    await checkAccount(client, gateway);
    const parameters = await readParameters(client, gateway);
    for (const object of withParameters(waypointObjects(gateway, terms), parameters)) {
      await this.#applyWhereOther(sealed(object), gateway);
    }
  }

  async #applyWhereOther(object: WaypointObject, gateway: GatewayObject): Promise<void> {
    const { client, live } = this.#dependencies;
    const path = pathOfObject(object);
    if (!waypointKinds[object.kind].always) {
      const digest = object.metadata.annotations[digestAnnotation] ?? '';
      if (this.#applied.get(path) === digest) return;
      await apply(client, path, object);
      this.#applied.set(path, digest);
      return;
    }
    const present = live.get(object) ?? (await this.#unlabelled(path));
    if (present !== null && !isMadeFor(present, gateway)) throw new ForeignObjectError(object);
    if (!covers(present, object)) await apply(client, path, object);
  }

  /** An object that is not labelled as a waypoint's, but has the name of one. */
  async #unlabelled(path: string): Promise<KubeObject | null> {
    try {
      const object = await this.#dependencies.client.send({ method: 'GET', path });
      return isKubeObject(object) ? object : null;
    } catch (error) {
      if (isNotFound(error)) return null;
      throw error;
    }
  }

  async #say(gateway: GatewayObject, refusal: Refusal | null): Promise<void> {
    const { client, notes, timers } = this.#dependencies;
    const key = gatewayKey(gateway);
    const outcome = {
      addresses: this.#addresses(gateway),
      refusal,
      serves: this.#serves(gateway),
      notes: notes().filter((note) => keyOfNote(note) === key),
    };
    const status = gatewayStatus(gateway, outcome, timers.now());
    if (saysAlready(gateway, status)) return;
    const { name, namespace } = gateway.metadata;
    const path = `/apis/${gatewayApi}/namespaces/${namespace}/gateways/${name}/status`;
    try {
      await apply(client, path, { apiVersion: gatewayApi, kind: 'Gateway', metadata: { name, namespace }, status });
    } catch (error) {
      // Gone meanwhile, and its status with it.
      if (!isNotFound(error)) throw error;
    }
  }

  #addresses(gateway: GatewayObject): readonly GatewayAddress[] {
    const { live, clusterDomain } = this.#dependencies;
    const { namespace } = gateway.metadata;
    const name = waypointNames(gateway).objects;
    const service = live.get({ kind: 'Service', metadata: named(namespace, name) }) as ServiceParts | null;
    if (service === null) return [];
    const hostname = { type: 'Hostname', value: `${name}.${namespace}.svc.${clusterDomain()}` } as const;
    const clusterIps = (service.spec?.clusterIPs ?? []).filter((address) => address !== 'None');
    return [hostname, ...clusterIps.map((value) => ({ type: 'IPAddress', value }) as const)];
  }

  #serves(gateway: GatewayObject): boolean {
    const { namespace } = gateway.metadata;
    const metadata = named(namespace, waypointNames(gateway).objects);
    const deployment = this.#dependencies.live.get({ kind: 'Deployment', metadata }) as DeploymentParts | null;
    return (deployment?.status?.availableReplicas ?? 0) > 0;
  }
}

interface ServiceParts {
  readonly spec?: { readonly clusterIPs?: readonly string[] };
}

interface DeploymentParts {
  readonly status?: { readonly availableReplicas?: number };
}

/** A waypoint would take over what somebody has made for another purpose. */
class ForeignObjectError extends Error {
  constructor({ kind, metadata: { namespace, name } }: WaypointObject) {
    super(
      `there is a ${kind} ${namespace}/${name} already, which is not of this Gateway: remove it, or call the waypoint otherwise`,
    );
  }
}

/** Null for a failure that says nothing of the Gateway, such as an API server that does not answer. */
function refusalOf(error: unknown): Refusal | null {
  if (error instanceof ParametersError)
    return { type: 'Accepted', reason: 'InvalidParameters', message: error.message };
  if (error instanceof ForeignObjectError) return { type: 'Programmed', reason: 'Invalid', message: error.message };
  const refused = error instanceof KubeError && error.status !== null && error.status >= 400 && error.status < 500;
  // A burst of requests is slowed down by 429, and two writers at once meet by 409.
  if (!refused || error.status === 429 || error.status === 409) return null;
  return { type: 'Programmed', reason: 'Invalid', message: `the API server refuses: ${error.message}` };
}

function keyOfNote({ resource }: Condition): string | null {
  return resource.startsWith('Gateway ') ? resource.slice('Gateway '.length) : null;
}

function named(namespace: string, name: string): WaypointObject['metadata'] {
  return { namespace, name, labels: {}, annotations: {}, ownerReferences: [] };
}
