import { mkdtempSync, rmSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { CniAnswer } from '../../../../src/agent/kubernetes/cni-protocol.ts';
import { proxiedAccess } from '../../../../src/kube/cluster-access.ts';
import { KubeClient } from '../../../../src/kube/kube-client.ts';
import { systemTimers } from '../../../../src/timing/timers.ts';
import { FakeProc } from '../../../support/fake-proc.ts';
import { FakeApiServer } from '../../../support/kube/fake-api-server.ts';
import type { SeenRequest } from '../../../support/kube/fake-api-server.ts';
import { newAgentRig, NODE } from '../rig.ts';
import type { AgentRig } from '../rig.ts';

const pods = '/api/v1/pods';
const namespaces = '/api/v1/namespaces';

export interface FakePod {
  readonly name: string;
  readonly uid: string;
  readonly labels?: Readonly<Record<string, string>>;
  /** None until the kubelet has told them. */
  readonly ip?: string;
  readonly phase?: string;
}

export interface ClusterRig extends AgentRig {
  readonly api: FakeApiServer;
  readonly proc: FakeProc;
  readonly runDir: string;
  readonly putPod: (pod: FakePod) => void;
  readonly removePod: (name: string) => void;
  readonly putNamespace: (name: string, labels: Readonly<Record<string, string>>) => void;
  /** What was last written on a pod of that name; undefined: nothing. */
  readonly redirection: (name: string) => string | null | undefined;
  /** Events of the API. */
  readonly written: () => readonly SeenRequest[];
  readonly ask: (request: object) => Promise<CniAnswer>;
  readonly notInMesh: () => Promise<readonly string[]>;
}

/** An agent in a cluster: its API server and its processes are fakes, as is the engine. */
export async function newClusterRig(
  context: TestContext,
  options: { readonly adopted?: readonly string[]; readonly flags?: Readonly<Record<string, string>> } = {},
): Promise<ClusterRig> {
  const proc = new FakeProc(context);
  const runDir = mkdtempSync(join(tmpdir(), 'ambit-run-'));
  const api = new FakeApiServer();
  await api.start();
  const client = new KubeClient({ access: proxiedAccess(api.url), timers: systemTimers, userAgent: 'test' });
  for (const collection of [pods, namespaces]) api.define(collection);
  const contents = new Map<string, Record<string, unknown>>();
  const store = (collection: string, name: string, namespace: string, content: Record<string, unknown>): void => {
    const { metadata, ...rest } = content;
    contents.set(`${collection}/${name}`, content);
    api.putWhole(collection, {
      ...rest,
      metadata: { ...(metadata as object), name, ...(namespace === '' ? {} : { namespace }) },
    });
  };
  /** As the real one: a patch of the status changes the pod, and watches tell of it. */
  api.onWrite = (request) => {
    const name = /\/pods\/([^/]+)\/status$/.exec(request.path)?.[1];
    const content = contents.get(`${pods}/${name ?? ''}`);
    if (name !== undefined && content !== undefined) {
      const { annotations } = (request.body as { metadata: { annotations: Record<string, string | null> } }).metadata;
      const kept = Object.fromEntries(Object.entries(annotations).filter(([, value]) => value !== null));
      store(pods, name, 'shop', { ...content, metadata: { ...(content['metadata'] as object), annotations: kept } });
    }
    return { status: 200, body: {} };
  };
  const flags = { kubernetes: 'true', runDir, hostProc: proc.folder, ...options.flags };
  const rig = await newAgentRig(context, {
    feed: 'told',
    manifests: '',
    flags,
    cluster: { client, cniBinary: '/nowhere' },
    ...(options.adopted === undefined ? {} : { adopted: options.adopted }),
  });
  context.after(async () => {
    client.close();
    await api.stop();
    rmSync(runDir, { recursive: true, force: true });
  });
  const writes = (path: RegExp): readonly SeenRequest[] =>
    api.requests.filter((seen) => seen.kind === 'write' && path.test(seen.path));
  return {
    ...rig,
    api,
    proc,
    runDir,
    putPod: ({ name, uid, labels = {}, ip, phase = 'Running' }) => {
      const status = { phase, ...(ip === undefined ? {} : { podIP: ip, podIPs: [{ ip }] }) };
      const spec = { nodeName: NODE, serviceAccountName: 'web', containers: [{ name: 'main' }] };
      store(pods, name, 'shop', { metadata: { uid, labels }, spec, status });
    },
    removePod: (name) => {
      api.remove(pods, `shop/${name}`);
    },
    putNamespace: (name, labels) => {
      store(namespaces, name, '', { metadata: { labels } });
    },
    redirection: (name) => {
      const last = writes(new RegExp(`/pods/${name}/status$`)).at(-1);
      const body = last?.body as { metadata: { annotations: Record<string, string | null> } } | undefined;
      return body?.metadata.annotations['ambient.istio.io/redirection'];
    },
    written: () => writes(/\/events$/),
    ask: (request) => ask(join(runDir, 'cni.sock'), request),
    notInMesh: async () => {
      const text = await readFile(join(runDir, 'namespaces.json'), 'utf8');
      return (JSON.parse(text) as { readonly notInMesh: readonly string[] }).notInMesh;
    },
  };
}

function ask(path: string, request: object): Promise<CniAnswer> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    let text = '';
    socket.setEncoding('utf8');
    socket.on('data', (part: string) => (text += part));
    socket.once('error', reject);
    socket.once('close', () => {
      if (text === '') reject(new Error('closed without an answer'));
      else resolve(JSON.parse(text) as CniAnswer);
    });
    socket.write(`${JSON.stringify(request)}\n`);
  });
}
