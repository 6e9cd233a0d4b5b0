import 'reflect-metadata';
import { EventEmitter, once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { get } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { Agent } from '../../../src/agent/agent.ts';
import type { AgentCluster } from '../../../src/agent/agent.ts';
import { initialiseAuthority } from '../../../src/ca/authority.ts';
import { controlPlaneSettings } from '../../../src/config/control-plane-settings.ts';
import { parseManifests } from '../../../src/config/manifests/parse.ts';
import { changesBetween, nextState } from '../../../src/config/manifests/store.ts';
import { resolveAgentSettings } from '../../../src/config/settings.ts';
import { loadTokenKeys } from '../../../src/control/certificates/token-keys.ts';
import { createToken } from '../../../src/control/certificates/tokens.ts';
import { Control } from '../../../src/control/control.ts';
import { manifestSite } from '../../../src/control/manifest-site.ts';
import { deriveMeshState } from '../../../src/derive/mesh-state.ts';
import type { MeshState } from '../../../src/model/workload.ts';
import { createControlMetrics } from '../../../src/telemetry/control-metrics.ts';
import { Logging } from '../../../src/telemetry/logger.ts';
import { createAgentMetrics } from '../../../src/telemetry/metrics.ts';
import type { AgentMetrics } from '../../../src/telemetry/metrics.ts';
import { systemTimers } from '../../../src/timing/timers.ts';
import { controlPlaneIdentifier, typeUrls } from '../../../src/wds/names.ts';
import { FakeControlPlane } from '../../support/control-plane.ts';
import { fakeNative } from '../../support/fake-engine.ts';
import type { FakeEngine } from '../../support/fake-engine.ts';
import { TestAuthority } from '../../support/test-authority.ts';

export const NODE = 'node-1';

/**
 * Where the agent's state comes from: manifests that it reads itself, a fake control plane that is told what they mean, or
 * our own control plane, over TLS, that has read them.
 */
export type FeedKind = 'manifests' | 'told' | 'control';

export interface AgentRig {
  readonly agent: Agent;
  readonly events: EventEmitter;
  readonly engine: () => FakeEngine;
  readonly metrics: AgentMetrics;
  /** Changes the manifests. */
  readonly write: (text: string) => void;
  readonly ready: () => Promise<string>;
  /** null unless it is fed by the fake. */
  readonly control: FakeControlPlane | null;
}

export interface AgentRigOptions {
  readonly feed?: FeedKind;
  /** What the control plane calls itself; else as our own. */
  readonly identifier?: string;
  /** null: there are none. */
  readonly manifests: string | null;
  /** Pods that a former agent left captured. */
  readonly adopted?: readonly string[];
  readonly flags?: Readonly<Record<string, string>>;
  readonly cluster?: AgentCluster;
  /** That of a former run; else a new one. */
  readonly stateDir?: string;
}

export async function newAgentRig(context: TestContext, options: AgentRigOptions): Promise<AgentRig> {
  const folder = mkdtempSync(join(tmpdir(), 'ambit-agent-'));
  context.after(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  const stateDir = options.stateDir ?? join(folder, 'state');
  const source = await sources[options.feed ?? 'manifests'](context, folder, options);
  const ports = { adminPort: '0', metricsPort: '0', readinessPort: '0' };
  const flags = { node: NODE, stateDir, manifestPoll: '100ms', ...ports, ...source.flags, ...options.flags };
  const { native, engine } = fakeNative(options.adopted ?? []);
  const events = new EventEmitter();
  const metrics = createAgentMetrics('test');
  const agent = new Agent({
    settings: resolveAgentSettings(flags, {}),
    version: 'test',
    logging: silentLogging(),
    metrics,
    timers: systemTimers,
    random: Math.random,
    host: {
      mounts: () => Promise.resolve([{ device: '0:1', root: '/', point: '/sys/fs/cgroup', type: 'cgroup2' }]),
      mountNamespace: () => Promise.resolve('1'),
      mountBpffs: () => Promise.resolve(),
    },
    native,
    events,
    nodeMetadata: {},
    credentials: null,
    cluster: options.cluster ?? null,
  });
  const { write, control } = source;
  return { agent, events, engine, metrics, write, control, ready: () => readiness(join(stateDir, 'ready.sock')) };
}

interface Source {
  readonly flags: Readonly<Record<string, string>>;
  readonly write: (text: string) => void;
  readonly control: FakeControlPlane | null;
}

async function manifestSource(_context: TestContext, folder: string, options: AgentRigOptions): Promise<Source> {
  const path = join(folder, 'mesh.yaml');
  const write = (text: string): void => {
    writeFileSync(path, text);
  };
  if (options.manifests !== null) write(options.manifests);
  await initialiseAuthority(join(folder, 'ca'));
  return { flags: { manifests: path, ca: join(folder, 'ca') }, write, control: null };
}

/** What the manifests mean is told by a control plane, and so is what an edit of them changes. */
async function toldSource(context: TestContext, folder: string, options: AgentRigOptions): Promise<Source> {
  const control = new FakeControlPlane({ identifier: options.identifier ?? controlPlaneIdentifier });
  const authority = await TestAuthority.create();
  control.sign = ({ request }) => authority.answer(request.csr, namesAskedFor(request.metadata));
  await control.start();
  context.after(() => control.stop());
  writeFileSync(join(folder, 'token'), 'token');
  let told = new Map<string, string>();
  const write = (text: string): void => {
    told = tell(control, told, meaningOf(text));
  };
  write(options.manifests ?? '');
  return { flags: { control: `http://${control.address}`, tokenFile: join(folder, 'token') }, write, control };
}

/** `ambit control` in this process, with a token of its own making for this node. */
async function controlSource(context: TestContext, folder: string, options: AgentRigOptions): Promise<Source> {
  const path = join(folder, 'mesh.yaml');
  const write = (text: string): void => {
    writeFileSync(path, text);
  };
  write(options.manifests ?? '');
  const stateDir = join(folder, 'control');
  const events = new EventEmitter();
  const ports = { xdsPort: '0', plaintextPort: '0', metricsPort: '0', debugPort: '0' };
  const flags = { manifests: path, stateDir, manifestPoll: '100ms', address: '127.0.0.1', ...ports };
  const common = {
    settings: controlPlaneSettings.resolve(flags, {}),
    logging: silentLogging(),
    metrics: createControlMetrics('test'),
    timers: systemTimers,
  };
  const site = manifestSite({ ...common, manifests: path });
  const control = new Control({ ...common, site, version: 'test', random: Math.random, events });
  const run = control.run();
  context.after(async () => {
    events.emit('SIGTERM', 'SIGTERM');
    await run;
  });
  const { xds } = await Promise.race([control.ready, run.then(() => Promise.reject(new Error('control has ended')))]);
  const token = createToken(await loadTokenKeys(stateDir), {
    node: NODE,
    pod: null,
    now: Date.now(),
    lifetime: 60_000,
  });
  writeFileSync(join(folder, 'token'), token);
  const rootFile = join(stateDir, 'ca', 'root-cert.pem');
  return {
    flags: { control: `127.0.0.1:${xds}`, tokenFile: join(folder, 'token'), rootFile },
    write,
    control: null,
  };
}

const sources = { manifests: manifestSource, told: toldSource, control: controlSource };

function silentLogging(): Logging {
  return new Logging({ level: 'error', format: 'json', destination: { write: () => undefined } });
}

function namesAskedFor(metadata: unknown): { readonly names?: readonly string[] } {
  const asked = (metadata as { readonly ImpersonatedIdentity?: string } | undefined)?.ImpersonatedIdentity;
  return asked === undefined ? {} : { names: [asked] };
}

function meaningOf(text: string): MeshState {
  const { state } = nextState(new Map(), [parseManifests('mesh.yaml', text)]);
  return deriveMeshState(changesBetween(new Map(), state), { node: NODE });
}

/** Sets and pushes all of it; what was told before and is no more is removed. */
function tell(control: FakeControlPlane, before: ReadonlyMap<string, string>, state: MeshState): Map<string, string> {
  control.setSettings(state.settings);
  for (const workload of state.workloads.values()) control.setWorkload(workload, state.settings.network);
  for (const service of state.services.values()) control.setService(service, state.settings.network);
  for (const policy of state.policies.values()) control.setPolicy(policy);
  for (const pod of state.localPods.values()) control.setPod(pod);
  const told = new Map<string, string>([
    ...[...state.workloads.keys(), ...state.services.keys()].map((name) => [name, typeUrls.address] as const),
    ...[...state.policies.keys()].map((name) => [name, typeUrls.authorization] as const),
    ...[...state.localPods.keys()].map((name) => [name, typeUrls.localPod] as const),
  ]);
  for (const [name, typeUrl] of told) control.push(typeUrl, [name]);
  for (const [name, typeUrl] of before) if (!told.has(name)) control.pushRemoval(typeUrl, [name]);
  return told;
}

async function readiness(socketPath: string): Promise<string> {
  const request = get({ socketPath, path: '/healthz/ready', agent: false });
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  let text = '';
  for await (const part of response.setEncoding('utf8')) text += String(part);
  return text.trim();
}

/** Files are watched by the kernel and sockets served by the loop: there is nothing to turn by hand. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + 10_000;
  for (;;) {
    const held = await Promise.resolve(condition()).catch(() => false);
    if (held) return;
    if (performance.now() > end) throw new Error(`never came true: ${condition.toString()}`);
    await setTimeout(5);
  }
}

/** Runs the agent until it is ready and the body is done, then ends it as an orchestrator does. */
export async function running(rig: AgentRig, body: () => Promise<void>): Promise<void> {
  const run = rig.agent.run();
  try {
    await Promise.race([until(async () => (await rig.ready()) === 'ready'), run]);
    await body();
  } finally {
    rig.events.emit('SIGTERM', 'SIGTERM');
    await run;
  }
}
