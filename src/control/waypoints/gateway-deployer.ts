import type { KubeClient } from '../../kube/kube-client.ts';
import { isNotFound, KubeError } from '../../kube/kube-error.ts';
import { isKubeObject } from '../../kube/objects.ts';
import type { KubeObject } from '../../kube/objects.ts';
import { WorkQueue } from '../../kube/work-queue.ts';
import type { Condition } from '../../model/workload.ts';
import { aborted } from '../../process/lifecycle.ts';
import { pause } from '../../timing/pause.ts';
import type { Random, Timers } from '../../timing/timers.ts';
import type { GatewayReport, GatewayReports } from '../gateway-report.ts';
import { apply } from './apply.ts';
import { borrowsAccount, checkAccount } from './borrowed-account.ts';
import { addressesOf } from './gateway-addresses.ts';
import { gatewayKey } from './gateway-object.ts';
import type { GatewayObject } from './gateway-object.ts';
import { gatewayRole } from './gateway-role.ts';
import type { GatewayRole } from './gateway-role.ts';
import { gatewayStatus, saysAlready } from './gateway-status.ts';
import type { GatewayAddress, GatewayOutcome, Refusal } from './gateway-status.ts';
import type { LiveWaypoints } from './live-waypoints.ts';
import { isMadeFor } from './made-for.ts';
import { covers } from './object-difference.ts';
import { gatewayApi, pathOfObject, waypointKinds } from './waypoint-kinds.ts';
import { digestAnnotation, nameAnnotation, sealed, waypointNames } from './object-metadata.ts';
import type { WaypointObject } from './object-metadata.ts';
import { wantedPorts } from './wanted-proxy.ts';
import { waypointObjects } from './waypoint-objects.ts';
import { checkGateway, ParametersError, readParameters, withParameters } from './waypoint-parameters.ts';
import type { DeploymentTerms } from './deployment-terms.ts';

export interface GatewayDeployerDependencies {
  readonly client: Pick<KubeClient, 'send'>;
  readonly live: LiveWaypoints;
  readonly terms: DeploymentTerms;
  readonly clusterDomain: () => string;
  /** What is said of objects of the mesh; those on Gateways become part of their status. */
  readonly notes: () => readonly Condition[];
  /** What the mesh makes of gateways. */
  readonly reports: () => GatewayReports;
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

/** Makes a waypoint or a gateway of each Gateway that asks for one, keeps it as it should be, and says in its status what has become of it. */
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

  /** All that is said of each elsewhere, as one text. */
  #notesByGateway(): Map<string, string> {
    const { notes, reports } = this.#dependencies;
    const texts = new Map<string, string>();
    const add = (resource: string, said: object): void => {
      const key = keyOf(resource);
      if (key !== null) texts.set(key, `${texts.get(key) ?? ''}${JSON.stringify(said)}`);
    };
    for (const note of notes()) add(note.resource, note);
    for (const [resource, report] of reports()) add(resource, report);
    return texts;
  }

  async #reconcile(key: string): Promise<void> {
    const gateway = this.#dependencies.live.gateways.get(key);
    const role = gateway === null ? null : this.#roleOf(gateway);
    if (gateway === null || role === null) return;
    const site = { gateway, role, report: this.#dependencies.reports().get(`Gateway ${key}`) ?? null };
    if (isElsewhere(gateway)) {
      // Its pods and addresses are somebody else's; what becomes of its listeners is told.
      if (role === 'gateway') await this.#say(site, null);
      return;
    }
    if (gateway.spec.infrastructure.parametersRef !== null || borrowsAccount(gateway))
      this.#queue.addAfter(key, PARAMETERS_EVERY_MS);
    try {
      await this.#deploy(site);
      await this.#say(site, null);
    } catch (error) {
      const refusal = refusalOf(error);
      if (refusal === null) throw error;
      await this.#say(site, refusal);
      // The API server may think otherwise later, as when a quota is raised.
      if (refusal.type === 'Programmed') throw error;
    }
  }

  /** Null for one that is not ours. */
  #roleOf({ metadata, spec }: GatewayObject): GatewayRole | null {
    const { live } = this.#dependencies;
    const version = Number(metadata.annotations[versionAnnotation] ?? 0);
    if (metadata.deletionTimestamp !== null || version > controllerVersion) return null;
    return gatewayRole(spec.gatewayClassName, live.classes.get(spec.gatewayClassName)?.controllerName ?? null);
  }

  async #deploy({ gateway, role, report }: Site): Promise<void> {
    const { client, terms } = this.#dependencies;
    checkGateway(gateway);
    await checkAccount(client, gateway);
    const parameters = await readParameters(client, gateway);
    const wanted = { gateway, role, ports: wantedPorts(gateway, report) };
    for (const object of withParameters(waypointObjects(wanted, terms), parameters)) {
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

  async #say({ gateway, role, report }: Site, refusal: Refusal | null): Promise<void> {
    const { client, notes, timers } = this.#dependencies;
    const key = gatewayKey(gateway);
    const outcome = {
      role,
      report,
      refusal,
      ...(isElsewhere(gateway) ? given(gateway) : this.#deployed(gateway, role)),
      notes: notes().filter(({ resource }) => keyOf(resource) === key),
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

  #deployed(gateway: GatewayObject, role: GatewayRole): Pick<GatewayOutcome, 'addresses' | 'serves'> {
    const { live, clusterDomain } = this.#dependencies;
    const metadata = named(gateway.metadata.namespace, waypointNames(gateway).objects);
    const service = live.get({ kind: 'Service', metadata });
    const deployment = live.get({ kind: 'Deployment', metadata }) as DeploymentParts | null;
    return {
      addresses: service === null ? [] : addressesOf(service, role, clusterDomain()),
      serves: (deployment?.status?.availableReplicas ?? 0) > 0,
    };
  }
}

/** A Gateway with what is known of it. */
interface Site {
  readonly gateway: GatewayObject;
  readonly role: GatewayRole;
  readonly report: GatewayReport | null;
}

/** A Gateway that names a host stands for what somebody else runs there. */
function isElsewhere({ spec }: GatewayObject): boolean {
  return spec.addresses.some(({ type }) => type === 'Hostname');
}

/** Nothing is known of its pods: whoever runs them answers for them. */
function given({ spec }: GatewayObject): Pick<GatewayOutcome, 'addresses' | 'serves'> {
  const addresses = spec.addresses.flatMap(({ type, value }): readonly GatewayAddress[] =>
    value === null ? [] : [{ type: type === 'Hostname' ? 'Hostname' : 'IPAddress', value }],
  );
  return { addresses, serves: true };
}

interface DeploymentParts {
  readonly status?: { readonly availableReplicas?: number };
}

/** A Gateway would take over what somebody has made for another purpose. */
class ForeignObjectError extends Error {
  constructor({ kind, metadata: { namespace, name } }: WaypointObject) {
    super(
      `there is a ${kind} ${namespace}/${name} already, which is not of this Gateway: remove it, or call the Gateway’s objects otherwise (${nameAnnotation})`,
    );
  }
}

/** Null for a failure that says nothing of the Gateway, such as an API server that does not answer. */
function refusalOf(error: unknown): Refusal | null {
  if (error instanceof ParametersError) return { type: 'Accepted', reason: error.reason, message: error.message };
  if (error instanceof ForeignObjectError) return { type: 'Programmed', reason: 'Invalid', message: error.message };
  const refused = error instanceof KubeError && error.status !== null && error.status >= 400 && error.status < 500;
  // A burst of requests is slowed down by 429, and two writers at once meet by 409.
  if (!refused || error.status === 429 || error.status === 409) return null;
  return { type: 'Programmed', reason: 'Invalid', message: `the API server refuses: ${error.message}` };
}

/** Of a Gateway, by its resource; null for what is said of others. */
function keyOf(resource: string): string | null {
  return resource.startsWith('Gateway ') ? resource.slice('Gateway '.length) : null;
}

function named(namespace: string, name: string): WaypointObject['metadata'] {
  return { namespace, name, labels: {}, annotations: {}, ownerReferences: [] };
}
