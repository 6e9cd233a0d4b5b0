import { existsSync } from 'node:fs';
import type { AgentSettings } from '../config/settings.ts';
import type { MeshState } from '../model/workload.ts';
import type { EngineEvent, EngineOptions, FlowInfo, NativeEngine, NativeModule } from '../native/binding.ts';
import { errorFields } from '../telemetry/error-fields.ts';
import type { Logging } from '../telemetry/logger.ts';
import type { AgentMetrics } from '../telemetry/metrics.ts';
import type { Random, Timers } from '../timing/timers.ts';
import { CertificateManager } from '../ztunnel/certificates.ts';
import type { CertificateSigner } from '../ztunnel/certificates.ts';
import { DemandGate } from '../ztunnel/demand-gate.ts';
import type { AddressSource } from '../ztunnel/demand-gate.ts';
import { DecisionPlane } from '../ztunnel/decision-plane.ts';
import type { DryRunResult } from '../ztunnel/decision-plane.ts';
import { NameGate } from '../ztunnel/names/name-gate.ts';
import { NameResolver } from '../ztunnel/names/name-resolver.ts';
import { PolicyGate } from '../ztunnel/policy-gate.ts';
import { PolicyWatcher } from '../ztunnel/policy-watcher.ts';
import { QuestionAnswerer } from '../ztunnel/questions.ts';
import { engineEventHandler } from './engine-events.ts';
import { Enrolment } from './enrolment.ts';
import { flowsOf } from './flow-pages.ts';
import { nameLookup } from './look-up-name.ts';
import { EndingProxies } from './waypoints/ending-proxies.ts';
import { EnvoyProgram } from './waypoints/envoy-program.ts';
import { PodLoopback } from './waypoints/pod-loopback.ts';
import { WaypointMetrics } from './waypoints/waypoint-metrics.ts';
import { WaypointProxies } from './waypoints/waypoint-proxies.ts';

export interface NodeDependencies {
  readonly settings: AgentSettings;
  readonly version: string;
  readonly logging: Logging;
  readonly metrics: AgentMetrics;
  readonly timers: Timers;
  readonly random: Random;
  readonly native: NativeModule;
}

export interface NodeStart {
  /** Whose mesh settings the engine starts with; its objects are applied apart. */
  readonly initial: MeshState;
  readonly cgroup: string;
  /** Relative to `cgroup`; null: there is none. */
  readonly podsCgroup: string | null;
  /** null: pods get no certificates. */
  readonly signer: CertificateSigner | null;
  readonly addresses: AddressSource | null;
  /** See `goalOf`. */
  readonly placedLater: boolean;
  /** Told when the engine has taken a pod in or let go of it, or has failed to, and when the settings of the mesh change. */
  readonly onChange: () => void;
}

/** What exists once the engine does. */
export interface Node {
  readonly engine: NativeEngine;
  readonly plane: DecisionPlane;
  readonly enrolment: Enrolment;
  /** null: waypoints and gateways bring their proxies themselves. */
  readonly proxies: WaypointProxies | null;
  readonly waypointMetrics: WaypointMetrics;
  /** null: the proxies above are told by themselves. */
  readonly endings: EndingProxies | null;
  readonly policies: PolicyWatcher;
  readonly certificates: CertificateManager | null;
  readonly gate: PolicyGate;
  /** null where the state is the whole mesh. */
  readonly demand: DemandGate | null;
  readonly names: NameResolver;
}

/** Share of a question's time that may go by until the control plane has told what it takes to decide. */
const PATIENCE = 0.8;

/** The engine and everything that talks to it, joined; the engine is not started yet. */
export function createNode(dependencies: NodeDependencies, start: NodeStart): Node {
  const { settings, logging, metrics, timers, native } = dependencies;
  let handleEvent: (event: EngineEvent) => void = () => undefined;
  const engine = new native.Engine(engineOptions(dependencies, start), (event) => {
    handleEvent(event);
  });
  const certificates = createCertificates(dependencies, start.signer, engine);
  let settingsInForce = start.initial.settings;
  const plane: DecisionPlane = new DecisionPlane({
    node: settings.node,
    engine,
    initial: withoutObjects(start.initial),
    onDemand: start.addresses !== null,
    dnsCapture: settings.dnsCapture,
    logger: logging.component('decisions'),
    onChange: ({ generation, keys, touched }) => {
      if (settingsInForce !== plane.state.settings) start.onChange();
      settingsInForce = plane.state.settings;
      metrics.stateGeneration.set(generation);
      metrics.invalidatedKeys.inc(keys.length);
      policies.stateChanged(touched);
      gate.changed();
    },
    onDryRun: (result) => {
      metrics.dryRunDecisions.inc({ result: dryRunLabel(result) });
    },
  });
  const policies: PolicyWatcher = new PolicyWatcher({
    plane,
    engine,
    metrics,
    logger: logging.component('policy'),
  });
  const answerer = new QuestionAnswerer({
    decider: plane,
    engine,
    metrics,
    logger: logging.component('decisions'),
    later: (milliseconds, callback) => void timers.after(milliseconds, callback),
  });
  const proxies = createProxies(dependencies, engine);
  const enrolment = createEnrolment(dependencies, start, { engine, plane, certificates, proxies });
  const waypointMetrics = new WaypointMetrics({
    loopback: new PodLoopback(engine),
    proxies: () => enrolment.proxies(),
    metrics,
    timers,
    logger: logging.component('waypoints'),
  });
  const names = createNames(dependencies, plane);
  const nameGate = new NameGate({
    plane,
    resolver: names,
    next: answerer,
    timers,
    patience: settings.questionTimeout * PATIENCE,
  });
  const demand = createDemand(dependencies, start.addresses, { engine, plane, answerer: nameGate });
  const gate: PolicyGate = new PolicyGate({
    awaitsPolicies: (pod) => plane.awaitsPolicies(pod),
    next: demand ?? nameGate,
    timers,
    patience: settings.questionTimeout * PATIENCE,
  });
  handleEvent = engineEventHandler({ answerer: gate, enrolment, metrics, logger: logging.component('engine') });
  const endings = proxies === null ? createEndings(dependencies, engine) : null;
  const waypointParts = { proxies, endings, waypointMetrics };
  return { engine, plane, enrolment, ...waypointParts, policies, certificates, gate, demand, names };
}

/** The own one first. */
export function trustDomains({ settings }: MeshState): readonly string[] {
  return [settings.trustDomain, ...settings.trustDomainAliases];
}

function createCertificates(
  { logging, metrics, timers, random }: NodeDependencies,
  signer: CertificateSigner | null,
  engine: NativeEngine,
): CertificateManager | null {
  if (signer === null) return null;
  return new CertificateManager({ signer, engine, timers, random, metrics, logger: logging.component('certificates') });
}

function createDemand(
  { settings, logging, metrics, timers }: NodeDependencies,
  source: AddressSource | null,
  { engine, plane, answerer }: Pick<Node, 'engine' | 'plane'> & { readonly answerer: NameGate },
): DemandGate | null {
  if (source === null) return null;
  return new DemandGate({
    plane,
    answerer,
    source,
    flows: () => allFlows(engine, plane.state),
    timers,
    metrics,
    logger: logging.component('on-demand'),
    patience: settings.questionTimeout * PATIENCE,
  });
}

function createNames(
  { settings, logging, metrics, timers, random }: NodeDependencies,
  plane: DecisionPlane,
): NameResolver {
  const logger = logging.component('names');
  return new NameResolver({
    lookUp: nameLookup(settings.nameServers ?? []),
    publish: (name, addresses) => {
      plane.setResolved(name, addresses);
    },
    askAgain: (name) => {
      plane.askNameAgain(name);
    },
    isUsed: (name) => plane.hasName(name),
    onLookup: (result) => {
      metrics.nameLookups.inc({ result });
    },
    onFailure: (name, error, failures, keepsOld) => {
      const text = keepsOld
        ? 'a name cannot be looked up: its last addresses stay in use'
        : 'a name cannot be looked up: connections to it are refused';
      logger[failures === 1 ? 'warn' : 'debug']({ ...errorFields(error), name, failures }, text);
    },
    timers,
    random,
  });
}

function* allFlows(engine: NativeEngine, { localPods }: MeshState): Generator<FlowInfo> {
  for (const pod of localPods.keys()) yield* flowsOf(pod, (...page) => engine.flows(...page));
}

function createProxies(
  { settings, timers, random, metrics, logging }: NodeDependencies,
  engine: NativeEngine,
): WaypointProxies | null {
  if (settings.envoy === null) return null;
  const program = new EnvoyProgram(settings.envoy);
  const logger = logging.component('waypoints');
  const nameServers = settings.nameServers ?? [];
  const loopback = new PodLoopback(engine);
  // With `ipv6.disable=1` the kernel has no such file.
  const hasIpv6 = existsSync('/proc/net/if_inet6');
  return new WaypointProxies({ program, loopback, timers, random, metrics, logger, nameServers, hasIpv6 });
}

function createEndings({ timers, logging }: NodeDependencies, engine: NativeEngine): EndingProxies {
  return new EndingProxies({ loopback: new PodLoopback(engine), timers, logger: logging.component('waypoints') });
}

function createEnrolment(
  { settings, logging, metrics, timers, random }: NodeDependencies,
  { placedLater, onChange }: Pick<NodeStart, 'placedLater' | 'onChange'>,
  { engine, plane, certificates, proxies }: Pick<Node, 'engine' | 'plane' | 'certificates' | 'proxies'>,
): Enrolment {
  const enrolment: Enrolment = new Enrolment({
    engine,
    timers,
    random,
    metrics,
    logger: logging.component('enrolment'),
    placedLater,
    dnsCapture: settings.dnsCapture,
    // A pod that is captured before it has a certificate would refuse what reaches it in between.
    prepare: async (spec) => {
      certificates?.require(enrolment.identities());
      await certificates?.attempted(spec.identity);
    },
    onChange: () => {
      certificates?.require(enrolment.identities());
      proxies?.reconcile(enrolment.proxies());
      onChange();
    },
    onEnrolled: (uid, enrolled) => {
      plane.setEnrolled(uid, enrolled);
      if (!enrolled) proxies?.leave(uid);
    },
  });
  return enrolment;
}

function dryRunLabel({ allowed, wouldBeAllowed }: DryRunResult): 'same' | 'allowed' | 'denied' {
  if (allowed === wouldBeAllowed) return 'same';
  return wouldBeAllowed ? 'allowed' : 'denied';
}

function engineOptions(
  { settings, version }: NodeDependencies,
  { initial, cgroup, podsCgroup }: NodeStart,
): EngineOptions {
  return {
    node: settings.node,
    bpffs: settings.bpffs,
    cgroupRoot: cgroup,
    podsCgroup,
    nodeNetns: nodeNetnsOf(settings),
    hostProc: settings.hostProc,
    threads: settings.threads,
    trustDomains: trustDomains(initial),
    accessLog: settings.accessLog,
    accessLogFormat: settings.accessLogFormat,
    questionTimeout: settings.questionTimeout,
    connectTimeout: settings.connectTimeout,
    version,
    clusterId: initial.settings.clusterId,
  };
}

/** null: that of this process. A pod's own namespace is not the one that the kubelet probes from. */
export function nodeNetnsOf({ nodeNetns, kubernetes, hostProc }: AgentSettings): string | null {
  return nodeNetns ?? (kubernetes ? `${hostProc}/1/ns/net` : null);
}

function withoutObjects({ settings }: MeshState): MeshState {
  return {
    settings,
    workloads: new Map(),
    services: new Map(),
    policies: new Map(),
    localPods: new Map(),
    conditions: [],
  };
}
