import { EventEmitter } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { create } from '@bufbuild/protobuf';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { Client, credentials, Metadata } from '@grpc/grpc-js';
import type { ServiceError } from '@grpc/grpc-js';
import { controlPlaneSettings } from '../../src/config/control-plane-settings.ts';
import { loadTokenKeys } from '../../src/control/certificates/token-keys.ts';
import { createToken } from '../../src/control/certificates/tokens.ts';
import type { TokenRequest } from '../../src/control/certificates/tokens.ts';
import { Control } from '../../src/control/control.ts';
import { manifestSite } from '../../src/control/manifest-site.ts';
import type { ControlPorts } from '../../src/control/control.ts';
import type { ControlSite } from '../../src/control/site.ts';
import { IstioCertificateRequestSchema, IstioCertificateService } from '../../src/proto/gen/istio/v1/auth/ca_pb.ts';
import { grpcMethod } from '../../src/proto/grpc.ts';
import { createControlMetrics } from '../../src/telemetry/control-metrics.ts';
import type { ControlMetrics } from '../../src/telemetry/control-metrics.ts';
import { Logging } from '../../src/telemetry/logger.ts';
import { systemTimers } from '../../src/timing/timers.ts';
import { ManifestFolder } from './manifests.ts';
import type { Manifest } from './manifests.ts';

const method = grpcMethod(IstioCertificateService.method.createCertificate);

export interface CertificateAnswer {
  readonly code: number;
  readonly details: string;
  readonly chain: readonly string[];
}

export interface CallOptions {
  readonly token?: string;
  /** PEM: the client's own certificate and key. */
  readonly client?: { readonly certificate: string; readonly key: string };
}

/** A whole control plane in this process, on free ports, with a state folder of its own. */
export class ControlHarness {
  readonly metrics: ControlMetrics = createControlMetrics('test');
  readonly manifests: ManifestFolder;
  readonly stateDir: string;
  readonly log: string[] = [];
  ports: ControlPorts = { xds: 0, plaintext: 0 };
  roots = '';
  /** Address of the debug pages. */
  debug = '';
  readonly #folder: string;
  readonly #ca: string;
  readonly #flags: Readonly<Record<string, string>>;
  readonly #events = new EventEmitter();
  #ended: Promise<void> = Promise.resolve();

  /** @param ca folder of a CA; its own unless given. @param parts of its site that are others than those of manifests. @returns once everything is served; `stop` has to follow */
  static async start(
    manifests: readonly Manifest[],
    ca: string | null = null,
    parts: Partial<ControlSite> = {},
  ): Promise<ControlHarness> {
    const folder = await mkdtemp(join(tmpdir(), 'ambit-control-'));
    const harness = new ControlHarness(folder, ca);
    await harness.manifests.write('mesh', manifests);
    try {
      await harness.#start(parts);
    } catch (error) {
      await rm(folder, { recursive: true, force: true });
      throw error;
    }
    return harness;
  }

  private constructor(folder: string, ca: string | null) {
    this.#ca = ca ?? join(folder, 'state/ca');
    this.#flags = ca === null ? {} : { ca };
    this.#folder = folder;
    this.stateDir = join(folder, 'state');
    this.manifests = new ManifestFolder(join(folder, 'manifests'));
  }

  async stop(): Promise<void> {
    this.#events.emit('SIGTERM', 'SIGTERM');
    await this.#ended;
    await rm(this.#folder, { recursive: true, force: true });
  }

  async #start(parts: Partial<ControlSite>): Promise<void> {
    const zero = { xdsPort: 0, plaintextPort: 0, metricsPort: 0, debugPort: 0 };
    const settings = controlPlaneSettings.resolve(
      { ...zero, ...this.#flags, manifests: this.manifests.path, stateDir: this.stateDir, address: '127.0.0.1' },
      {},
    );
    const destination = new Writable({
      write: (line: Buffer, _encoding, done) => {
        this.log.push(line.toString());
        done();
      },
    });
    const common = {
      settings,
      logging: new Logging({ level: 'info', format: 'json', destination }),
      metrics: this.metrics,
      timers: systemTimers,
    };
    const site = { ...manifestSite({ ...common, manifests: this.manifests.path }), ...parts };
    const control = new Control({ ...common, site, version: 'test', random: () => 0.5, events: this.#events });
    this.#ended = control.run();
    await Promise.race([control.ready.then((ports) => (this.ports = ports)), this.#ended]);
    this.debug = `http://127.0.0.1:${String(await control.debugPort)}`;
    this.roots = await readFile(join(this.#ca, 'root-cert.pem'), 'utf8');
  }

  async token(request: Partial<TokenRequest> = {}): Promise<string> {
    const keys = await loadTokenKeys(this.stateDir);
    return createToken(keys, { node: 'node-1', pod: null, now: Date.now(), lifetime: 60_000, ...request });
  }

  certificate(
    request: MessageInitShape<typeof IstioCertificateRequestSchema>,
    options: CallOptions = {},
  ): Promise<CertificateAnswer> {
    const { client: own, token } = options;
    const tls = credentials.createSsl(
      Buffer.from(this.roots),
      own === undefined ? null : Buffer.from(own.key),
      own === undefined ? null : Buffer.from(own.certificate),
    );
    const client = new Client(`localhost:${this.ports.xds}`, tls, { 'grpc.use_local_subchannel_pool': 1 });
    const metadata = new Metadata();
    if (token !== undefined) metadata.set('authorization', `Bearer ${token}`);
    const message = create(IstioCertificateRequestSchema, request);
    return new Promise((resolve) => {
      client.makeUnaryRequest(
        method.path,
        method.requestSerialize,
        method.responseDeserialize,
        message,
        metadata,
        (error: ServiceError | null, response) => {
          client.close();
          resolve({ code: error?.code ?? 0, details: error?.details ?? '', chain: response?.certChain ?? [] });
        },
      );
    });
  }
}
