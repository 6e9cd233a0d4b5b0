import assert from 'node:assert/strict';
import { create, toBinary } from '@bufbuild/protobuf';
import type { DescMessage, MessageShape } from '@bufbuild/protobuf';
import { Server, ServerCredentials, status } from '@grpc/grpc-js';
import type { Metadata, ServerDuplexStream, ServerUnaryCall, sendUnaryData } from '@grpc/grpc-js';
import type { Policy } from '../../src/model/policy.ts';
import type { LocalPod, MeshSettings, Service, Workload } from '../../src/model/workload.ts';
import { LocalPodSchema, MeshSettingsSchema } from '../../src/proto/gen/ambit/mesh/v1/mesh_pb.ts';
import { AggregatedDiscoveryService } from '../../src/proto/gen/envoy/service/discovery/v3/ads_pb.ts';
import { DeltaDiscoveryResponseSchema } from '../../src/proto/gen/envoy/service/discovery/v3/discovery_pb.ts';
import type {
  DeltaDiscoveryRequest,
  DeltaDiscoveryResponse,
} from '../../src/proto/gen/envoy/service/discovery/v3/discovery_pb.ts';
import { AuthorizationSchema } from '../../src/proto/gen/istio/security/authorization_pb.ts';
import { IstioCertificateResponseSchema, IstioCertificateService } from '../../src/proto/gen/istio/v1/auth/ca_pb.ts';
import type { IstioCertificateRequest, IstioCertificateResponse } from '../../src/proto/gen/istio/v1/auth/ca_pb.ts';
import { AddressSchema } from '../../src/proto/gen/istio/workload/workload_pb.ts';
import { grpcMethod } from '../../src/proto/grpc.ts';
import { encodePolicy } from '../../src/wds/authorization.ts';
import { encodeLocalPod, encodeMeshSettings } from '../../src/wds/mesh.ts';
import { meshSettingsName, policyName, serviceName, typeUrls, wildcard } from '../../src/wds/names.ts';
import { encodeService } from '../../src/wds/services.ts';
import { encodeWorkload } from '../../src/wds/workloads.ts';
import { NODE } from './mesh-builders.ts';
import { waitFor } from './wait.ts';

type Stream = ServerDuplexStream<DeltaDiscoveryRequest, DeltaDiscoveryResponse>;

interface Stored {
  readonly typeUrl: string;
  readonly bytes: Uint8Array;
  readonly version: string;
  /** Other names that stand for it: its addresses; of a workload also the services that bring it along. */
  readonly aliases: readonly string[];
  /** Told to everybody: every client is an agent of the one node. */
  readonly local: boolean;
}

interface Subscription {
  wildcard: boolean;
  readonly names: Set<string>;
}

/** Who asks for a certificate, and with what. */
export interface CertificateCall {
  readonly request: IstioCertificateRequest;
  readonly metadata: Metadata;
}

/** Chain of the answer, PEM by PEM; throwing answers UNAVAILABLE. */
export type SignRequest = (call: CertificateCall) => Promise<readonly string[]>;

export interface ControlPlaneOptions {
  /** What `control_plane.identifier` says. */
  readonly identifier: string;
  /** PEM; null: without TLS. */
  readonly tls: { readonly key: string; readonly certificate: string } | null;
}

const STOCK: ControlPlaneOptions = { identifier: '{"Component":"istiod"}', tls: null };

/** A control plane in this process, on a real socket, that says what it is told to say and keeps what it is told. */
export class FakeControlPlane {
  readonly requests: DeltaDiscoveryRequest[] = [];
  readonly requestBytes: Buffer[] = [];
  readonly metadata: Metadata[] = [];
  readonly certificateCalls: CertificateCall[] = [];
  sign: SignRequest = () => Promise.reject(new Error('no signing here'));
  /** False: requests are read and nothing is said. */
  answering = true;
  /** What `control_plane.identifier` says. */
  identifier: string;
  readonly #options: ControlPlaneOptions;
  readonly #resources = new Map<string, Stored>();
  readonly #streams = new Map<Stream, Map<string, Subscription>>();
  #server = new Server();
  #port = 0;
  #lastNonce = 0;
  #lastVersion = 0;

  constructor(options: Partial<ControlPlaneOptions> = {}) {
    this.#options = { ...STOCK, ...options };
    this.identifier = this.#options.identifier;
  }

  get address(): string {
    return `127.0.0.1:${this.#port}`;
  }

  get streams(): number {
    return this.#streams.size;
  }

  /** Nonces that were answered well, and errors that were sent back. */
  get acks(): number {
    return this.requests.filter((request) => request.responseNonce !== '' && request.errorDetail === undefined).length;
  }

  get nacks(): readonly string[] {
    return this.requests.flatMap(({ errorDetail }) => (errorDetail === undefined ? [] : [errorDetail.message]));
  }

  /** On the same port as before, if there was one. */
  async start(): Promise<void> {
    this.#server = new Server();
    const deltas = grpcMethod(AggregatedDiscoveryService.method.deltaAggregatedResources);
    const certificates = grpcMethod(IstioCertificateService.method.createCertificate);
    const decode = deltas.requestDeserialize;
    // As they came over the wire, for tests of what others would read in them.
    deltas.requestDeserialize = (bytes) => {
      this.requestBytes.push(bytes);
      return decode(bytes);
    };
    this.#server.addService(
      { deltas },
      {
        deltas: (stream: Stream) => {
          this.#serve(stream);
        },
      },
    );
    this.#server.addService(
      { certificates },
      {
        certificates: (
          call: ServerUnaryCall<IstioCertificateRequest, IstioCertificateResponse>,
          answer: sendUnaryData<IstioCertificateResponse>,
        ) => void this.#answerCertificate(call, answer),
      },
    );
    this.#port = await new Promise<number>((resolve, reject) => {
      this.#server.bindAsync(this.address, this.#credentials(), (error, port) => {
        if (error === null) resolve(port);
        else reject(error);
      });
    });
  }

  /** Fails where a client has left a connection behind that it still uses. */
  async stop(): Promise<void> {
    await waitFor(() => this.#streams.size === 0, { timeout: 3000, interval: 5, what: 'the end of every stream' });
    let done = false;
    this.#server.tryShutdown(() => (done = true));
    try {
      await waitFor(() => done, { timeout: 3000, interval: 5, what: 'the end of every connection' });
    } finally {
      this.#server.forceShutdown();
    }
  }

  /** As if it were killed. */
  kill(): void {
    this.#server.forceShutdown();
    this.#streams.clear();
  }

  setWorkload(workload: Workload, network = ''): void {
    const type = { case: 'workload' as const, value: encodeWorkload(workload, network) };
    const addresses = workload.addresses.map((address) => `${network}/${address}`);
    const aliases = [...addresses, ...workload.services.keys()];
    const bytes = toBinary(AddressSchema, create(AddressSchema, { type }));
    this.setBytes(typeUrls.address, workload.uid, bytes, aliases, workload.node === NODE);
  }

  setService(service: Service, network = ''): void {
    const type = { case: 'service' as const, value: encodeService(service, network) };
    const aliases = service.vips.map((vip) => `${network}/${vip}`);
    this.set(typeUrls.address, serviceName(service), AddressSchema, create(AddressSchema, { type }), aliases);
  }

  setPolicy(policy: Policy): void {
    this.set(typeUrls.authorization, policyName(policy), AuthorizationSchema, encodePolicy(policy));
  }

  setSettings(settings: MeshSettings): void {
    this.set(typeUrls.meshSettings, meshSettingsName, MeshSettingsSchema, encodeMeshSettings(settings));
  }

  setPod(pod: LocalPod): void {
    this.set(typeUrls.localPod, pod.uid, LocalPodSchema, encodeLocalPod(pod));
  }

  set<Schema extends DescMessage>(
    typeUrl: string,
    name: string,
    schema: Schema,
    message: MessageShape<Schema>,
    aliases: readonly string[] = [],
  ): void {
    this.setBytes(typeUrl, name, toBinary(schema, message), aliases);
  }

  setBytes(typeUrl: string, name: string, bytes: Uint8Array, aliases: readonly string[] = [], local = false): void {
    const version = `v${++this.#lastVersion}`;
    this.#resources.set(`${typeUrl} ${name}`, { typeUrl, bytes, version, aliases, local });
  }

  /** Sends what was set to all who subscribe to it. */
  push(typeUrl: string, names: readonly string[]): void {
    for (const [stream, subscriptions] of this.#streams) {
      const wanted = subscriptions.get(typeUrl);
      const mine = names.filter((name) => wanted?.wildcard === true || this.#isWanted(wanted, typeUrl, name));
      if (wanted !== undefined && mine.length > 0) this.#send(stream, typeUrl, mine, []);
    }
  }

  delete(typeUrl: string, name: string): void {
    this.#resources.delete(`${typeUrl} ${name}`);
  }

  pushRemoval(typeUrl: string, names: readonly string[]): void {
    for (const name of names) this.delete(typeUrl, name);
    for (const stream of this.#streams.keys()) this.#send(stream, typeUrl, [], names);
  }

  /** Ends every stream with a status. */
  endStreams(code: status = status.UNAVAILABLE): void {
    for (const stream of this.#streams.keys()) stream.emit('error', { code, details: 'ended by the test' });
  }

  #credentials(): ServerCredentials {
    const { tls } = this.#options;
    if (tls === null) return ServerCredentials.createInsecure();
    return ServerCredentials.createSsl(null, [
      { private_key: Buffer.from(tls.key), cert_chain: Buffer.from(tls.certificate) },
    ]);
  }

  #serve(stream: Stream): void {
    this.#streams.set(stream, new Map());
    this.metadata.push(stream.metadata);
    stream.on('data', (request: DeltaDiscoveryRequest) => {
      this.requests.push(request);
      if (this.answering) this.#answer(stream, request);
    });
    for (const event of ['cancelled', 'error', 'end']) stream.on(event, () => this.#streams.delete(stream));
    stream.on('end', () => {
      stream.end();
    });
  }

  #answer(stream: Stream, request: DeltaDiscoveryRequest): void {
    const { typeUrl, resourceNamesSubscribe: names, resourceNamesUnsubscribe: left } = request;
    const subscriptions = this.#streams.get(stream);
    if (subscriptions === undefined) return;
    const known = subscriptions.get(typeUrl);
    const subscription = known ?? { wildcard: names.length === 0, names: new Set<string>() };
    subscriptions.set(typeUrl, subscription);
    if (request.responseNonce !== '') return;
    for (const name of names) subscription.names.add(name);
    for (const name of left) subscription.names.delete(name);
    if (known === undefined) subscription.wildcard ||= subscription.names.has(wildcard);
    if (known === undefined) this.#answerFirst(stream, request, subscription);
    else if (names.length > 0) this.#answerNames(stream, typeUrl, names);
  }

  /** Only what the client does not hold already, and what of that is gone. */
  #answerFirst(stream: Stream, request: DeltaDiscoveryRequest, subscription: Subscription): void {
    const { typeUrl, initialResourceVersions: held } = request;
    const existing = [...this.#resources].filter(([, stored]) => stored.typeUrl === typeUrl);
    const names = existing
      .map(([key, stored]) => ({ name: key.slice(typeUrl.length + 1), stored }))
      .filter(({ name }) => subscription.wildcard || this.#isWanted(subscription, typeUrl, name))
      .filter(({ name, stored }) => held[name] !== stored.version)
      .map(({ name }) => name);
    const gone = Object.keys(held).filter((name) => !this.#resources.has(`${typeUrl} ${name}`));
    const absent = [...subscription.names].filter(
      (name) => name !== wildcard && this.#find(typeUrl, name).length === 0,
    );
    this.#send(stream, typeUrl, names, [...gone, ...absent]);
  }

  #answerNames(stream: Stream, typeUrl: string, asked: readonly string[]): void {
    const found = asked.map((name) => ({ name, found: this.#find(typeUrl, name) }));
    const missing = found.filter((entry) => entry.found.length === 0).map(({ name }) => name);
    this.#send(stream, typeUrl, [...new Set(found.flatMap((entry) => entry.found))], missing);
  }

  #isWanted(subscription: Subscription | undefined, typeUrl: string, name: string): boolean {
    if (subscription === undefined) return false;
    const local = this.#resources.get(`${typeUrl} ${name}`)?.local === true;
    return local || [...subscription.names].some((asked) => this.#find(typeUrl, asked).includes(name));
  }

  /** Names of what a name stands for: what has it, and of a service its endpoints. */
  #find(typeUrl: string, asked: string): readonly string[] {
    const having = (alias: string): readonly string[] =>
      [...this.#resources]
        .filter(([, stored]) => stored.typeUrl === typeUrl)
        .map(([key, stored]) => ({ name: key.slice(typeUrl.length + 1), stored }))
        .filter(({ name, stored }) => name === alias || stored.aliases.includes(alias))
        .map(({ name }) => name);
    return [...new Set(having(asked).flatMap((name) => [name, ...having(name)]))];
  }

  #send(stream: Stream, typeUrl: string, names: readonly string[], removedResources: readonly string[]): void {
    const resources = names.map((name) => {
      const stored = this.#resources.get(`${typeUrl} ${name}`);
      assert.ok(stored, `${name} was set`);
      const { version, bytes, aliases } = stored;
      return { name, version, aliases: [...aliases], resource: { typeUrl, value: bytes } };
    });
    stream.write(
      create(DeltaDiscoveryResponseSchema, {
        typeUrl,
        resources,
        removedResources: [...removedResources],
        nonce: `n${++this.#lastNonce}`,
        controlPlane: { identifier: this.identifier },
      }),
    );
  }

  async #answerCertificate(
    { request, metadata }: ServerUnaryCall<IstioCertificateRequest, IstioCertificateResponse>,
    answer: sendUnaryData<IstioCertificateResponse>,
  ): Promise<void> {
    const call = { request, metadata };
    this.certificateCalls.push(call);
    try {
      const certChain = [...(await this.sign(call))];
      answer(null, create(IstioCertificateResponseSchema, { certChain }));
    } catch (error) {
      answer({ code: status.UNAVAILABLE, details: error instanceof Error ? error.message : 'failed' });
    }
  }
}
