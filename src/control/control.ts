import { experimental, ServerCredentials } from '@grpc/grpc-js';
import type { Authority } from '../ca/authority.ts';
import type { ControlPlaneSettings } from '../config/control-plane-settings.ts';
import { describeError } from '../config/errors.ts';
import type { DerivationParts } from '../derive/extension.ts';
import { aborted, Lifecycle } from '../process/lifecycle.ts';
import type { ProcessEvents } from '../process/lifecycle.ts';
import { Listener } from '../process/listener.ts';
import type { ControlMetrics } from '../telemetry/control-metrics.ts';
import { errorFields } from '../telemetry/error-fields.ts';
import type { Logging } from '../telemetry/logger.ts';
import { sampleLoopLag } from '../telemetry/loop-lag.ts';
import { runInSlices } from '../timing/slices.ts';
import type { Random, Timers } from '../timing/timers.ts';
import { controlPlaneIdentifier } from '../wds/names.ts';
import { Authenticator } from './certificates/authenticator.ts';
import type { Authenticate, TokenVerifier } from './certificates/authenticator.ts';
import { CertificateService } from './certificates/certificate-service.ts';
import { LivePods } from './certificates/live-pods.ts';
import { GrpcServer } from './grpc-server.ts';
import type { GrpcService } from './grpc-server.ts';
import { explainMesh } from './inspection/explain.ts';
import { InspectionService } from './inspection/inspection-service.ts';
import { keyFetcher } from './keys/fetch-keys.ts';
import { KeyedInput } from './keys/keyed-input.ts';
import { systemResolver } from './keys/resolve-host.ts';
import { MeshSource } from './mesh-source.ts';
import { ownNames } from './own-names.ts';
import { debugHandler, metricsHandler } from './pages.ts';
import type { ShownClient } from './pages.ts';
import { ResourceStore } from './resources/resource-store.ts';
import { ServingCertificate } from './serving-certificate.ts';
import type { GatewayReport } from './gateway-report.ts';
import type { ControlSite } from './site.ts';
import { DiscoveryService } from './discovery/discovery-service.ts';
import { describeWaypoint } from './envoy/describe-waypoint.ts';
import { WaypointDerivation } from './envoy/waypoint-derivation.ts';
import { WaypointStore } from './envoy/waypoint-store.ts';
import { xdsObserver } from './xds-observer.ts';

export interface ControlDependencies {
  readonly settings: ControlPlaneSettings;
  readonly version: string;
  readonly logging: Logging;
  readonly metrics: ControlMetrics;
  readonly timers: Timers;
  readonly random: Random;
  readonly events: ProcessEvents;
  readonly site: ControlSite;
}

/** Ports that are in use once it is ready; those that were asked for as 0 are known only then. */
export interface ControlPorts {
  readonly xds: number;
  readonly plaintext: number;
}

interface Started {
  readonly servers: readonly GrpcServer[];
  readonly certificate: ServingCertificate;
  /** What runs beside, until the signal that ends the process. */
  readonly attended: Promise<void>;
}

/** The control plane, put together: the one place that knows all parts. `run` returns after the signal that ends it. */
export class Control {
  readonly #dependencies: ControlDependencies;
  readonly #site: ControlSite;
  readonly #lifecycle: Lifecycle;
  readonly #store = new ResourceStore();
  readonly #waypoints = new WaypointStore();
  readonly #pods = new LivePods();
  readonly #mesh: MeshSource;
  readonly #discovery: DiscoveryService;
  readonly #inspection: InspectionService;
  readonly #pages: readonly [debug: Listener, metrics: Listener];
  /** Resolves when everything is served. */
  readonly ready: Promise<ControlPorts>;
  /** Made by the mesh's derivation. */
  #proxies: WaypointDerivation | null = null;
  #announceReady: (ports: ControlPorts) => void = () => undefined;
  #pending: readonly string[];
  /** What is broken and stays so; readiness must not forget it when everything else has started. */
  #fault: string | null = null;
  #started: Started | null = null;

  constructor(dependencies: ControlDependencies) {
    this.#dependencies = dependencies;
    const { settings, version, logging, metrics, timers, random, events } = dependencies;
    this.ready = new Promise((resolve) => (this.#announceReady = resolve));
    this.#site = dependencies.site;
    this.#pending = [this.#site.task];
    this.#mesh = new MeshSource({
      input: new KeyedInput({
        input: this.#site.input,
        fetch: keyFetcher(systemResolver()),
        timers,
        random,
        logger: logging.component('keys'),
      }),
      captured: this.#site.captured,
      followed: this.#site.followed,
      extend: (parts) => this.#deriveProxies(parts),
      store: this.#store,
      timers,
      metrics,
      logger: logging.component('manifests'),
      onChange: ({ nodePods }) => runInSlices(this.#pods.update(nodePods)),
    });
    this.#discovery = new DiscoveryService({
      store: this.#store,
      waypoints: this.#waypoints,
      identifier: `${controlPlaneIdentifier}/${version}`,
      timers,
      random,
      maximumAge: settings.connectionAge,
      logger: logging.component('xds'),
      observer: xdsObserver(metrics),
      presence: this.#site.presence,
    });
    this.#inspection = new InspectionService({
      timers,
      logger: logging.component('inspection'),
      onAsked: (result) => {
        metrics.inspections.inc({ result });
      },
    });
    this.#pages = this.#createPages();
    this.#lifecycle = new Lifecycle({
      events,
      logger: logging.component('control'),
      onFault: (error) => {
        metrics.uncaughtErrors.inc();
        this.#fault = `uncaught error: ${String(error)}`;
      },
    });
  }

  /** Resolves with the port of the debug pages once that is bound, which may be long after everything else is served. */
  get debugPort(): Promise<number | null> {
    return this.#pages[0].bound;
  }

  #deriveProxies(parts: DerivationParts): WaypointDerivation {
    const { follow } = this.#site;
    const { timers } = this.#dependencies;
    const awaits = (): boolean => follow !== null;
    this.#proxies = new WaypointDerivation(parts, { store: this.#waypoints, now: () => timers.now(), follow, awaits });
    return this.#proxies;
  }

  readonly #missing = (): readonly string[] => (this.#fault === null ? this.#pending : [...this.#pending, this.#fault]);

  async run(): Promise<void> {
    const alive = setInterval(() => undefined, 2 ** 30);
    const stopSampling = sampleLoopLag(this.#dependencies.metrics.loopLagSeconds);
    this.#lifecycle.install();
    try {
      for (const page of this.#pages) page.start();
      await this.#start();
      await aborted(this.#lifecycle.stopping);
    } finally {
      await this.#stop();
      this.#lifecycle.uninstall();
      stopSampling();
      clearInterval(alive);
    }
  }

  async #start(): Promise<void> {
    const { logging, metrics } = this.#dependencies;
    const logger = logging.component('control');
    const verify = await this.#site.openVerifier(this.#pods);
    const authority = await this.#site.openAuthority();
    metrics.rootExpiry.set(authority.rootNotAfter / 1000);
    metrics.chainExpiry.set(authority.notAfter / 1000);
    await this.#mesh.start(this.#lifecycle.stopping);
    const ports = await this.#serve(authority, verify);
    this.#pending = [];
    logger.info({ ...ports }, 'ready');
    this.#announceReady(ports);
  }

  async #serve(authority: Authority, verify: TokenVerifier): Promise<ControlPorts> {
    const { settings, logging, timers, random } = this.#dependencies;
    const certificate = new ServingCertificate({
      authority,
      names: ownNames([...settings.names, ...namesIn(settings.podNamespace)]),
      timers,
      random,
      logger: logging.component('control'),
    });
    await certificate.start();
    const { authenticate } = this.#createAuthenticator(verify);
    const secure = new GrpcServer({
      name: 'xDS',
      host: settings.address,
      port: settings.xdsPort,
      credentials: experimental.createCertificateProviderServerCredentials(certificate, certificate, false),
      services: [...this.#agentServices(authenticate), this.#createCertificateService(authority, authenticate)],
    });
    const plaintext = new GrpcServer({
      name: 'plaintext xDS',
      host: '127.0.0.1',
      port: settings.plaintextPort,
      credentials: ServerCredentials.createInsecure(),
      services: this.#agentServices(() => Promise.resolve({ kind: 'local' })),
    });
    this.#started = { servers: [secure, plaintext], certificate, attended: this.#attend(authority, certificate) };
    return { xds: await secure.start(), plaintext: await plaintext.start() };
  }

  /** A part that cannot run leaves the others as they are: agents are served, and not ready tells of it. */
  async #attend(authority: Authority, certificate: ServingCertificate): Promise<void> {
    const parts = {
      authority,
      certificate,
      mesh: () => this.#mesh.state,
      bound: () => [...this.#mesh.bound, ...(this.#proxies?.accepted ?? [])],
      refused: () => this.#discovery.conditions(),
      gateways: () => this.#proxies?.reports ?? new Map<string, GatewayReport>(),
    };
    try {
      await this.#site.attend(parts, this.#lifecycle.stopping);
    } catch (error) {
      this.#dependencies.logging.component('control').error(errorFields(error), 'what is beside serving has failed');
      this.#fault = `writers: ${describeError(error)}`;
    }
  }

  #agentServices(authenticate: Authenticate): readonly GrpcService[] {
    return [this.#discovery, this.#inspection].map((service) => ({
      definition: service.definition,
      implementation: service.implementation(authenticate),
    }));
  }

  #createAuthenticator(verify: TokenVerifier): Authenticator {
    const { logging, metrics } = this.#dependencies;
    return new Authenticator({
      verify,
      trustDomains: () => {
        const { trustDomain, trustDomainAliases } = this.#mesh.state.settings;
        return [trustDomain, ...trustDomainAliases];
      },
      logger: logging.component('ca'),
      onFailure: () => {
        metrics.authenticationFailures.inc();
      },
    });
  }

  #createCertificateService(authority: Authority, authenticate: Authenticate): CertificateService {
    const { settings, logging, metrics } = this.#dependencies;
    return new CertificateService({
      authority,
      authenticate,
      pods: this.#pods,
      defaultTtl: settings.certificateTtl,
      maximumTtl: settings.maximumCertificateTtl,
      logger: logging.component('ca'),
      observer: {
        requested: () => {
          metrics.certificateRequests.inc();
        },
        issued: () => {
          metrics.certificatesIssued.inc();
        },
        malformed: () => {
          metrics.requestErrors.inc();
        },
        failed: () => {
          metrics.signErrors.inc();
        },
      },
    });
  }

  #createPages(): readonly [debug: Listener, metrics: Listener] {
    const { settings, logging, metrics, timers, random } = this.#dependencies;
    const logger = logging.component('pages');
    const common = { timers, random, logger };
    const host = settings.address === '::' ? null : settings.address;
    return [
      new Listener({
        ...common,
        name: 'debug',
        place: { kind: 'port', host: settings.debugAddress, port: settings.debugPort },
        handler: debugHandler({
          pending: this.#missing,
          collections: () => this.#mesh.describe(),
          conditions: () => [...this.#site.problems(), ...this.#mesh.state.conditions, ...this.#discovery.conditions()],
          clients: () => this.#clients(),
          waypoint: (name) => describeWaypoint(this.#waypoints, name),
          explain: (request) =>
            explainMesh(
              { state: () => this.#mesh.state, ask: (node, question) => this.#inspection.ask(node, question) },
              request,
            ),
          logger,
        }),
      }),
      new Listener({
        ...common,
        name: 'metrics',
        place: { kind: 'port', host, port: settings.metricsPort },
        handler: metricsHandler({ registry: metrics.registry, pending: this.#missing, logger }),
      }),
    ];
  }

  /** Of proxies the mesh is ours. */
  #clients(): readonly ShownClient[] {
    const { podName: control } = this.#dependencies.settings;
    const { clusterId } = this.#mesh.state.settings;
    return this.#discovery.status().map((client) => ({ ...client, cluster: client.cluster ?? clusterId, control }));
  }

  async #stop(): Promise<void> {
    this.#pending = ['stopping'];
    this.#discovery.stop();
    this.#inspection.stop();
    this.#started?.certificate.stop();
    await Promise.all([
      ...(this.#started?.servers.map((server) => server.stop()) ?? []),
      ...this.#pages.map((page) => page.stop()),
      this.#started?.attended,
    ]);
  }
}

/** Names of the Service by which agents reach a control plane of that namespace. */
function namesIn(namespace: string): readonly string[] {
  return ['svc', 'svc.cluster.local'].map((suffix) => `istiod.${namespace}.${suffix}`);
}
