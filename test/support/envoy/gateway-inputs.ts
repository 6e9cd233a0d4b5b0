import { defaultHttpSettings } from '../../../src/envoy/model.ts';
import type { ConnectionRule } from '../../../src/envoy/model.ts';
import type { HttpRule } from '../../../src/envoy/http-rules.ts';
import { noSecurity } from '../../../src/envoy/security/model.ts';
import type {
  ConnectionSite,
  GatewayInput,
  GatewayPort,
  GatewaySecret,
  HttpSite,
  PassingServer,
  PortService,
  ServerTls,
  TerminatingServer,
  VirtualHost,
} from '../../../src/envoy/gateways/model.ts';
import type { Issued } from './edge-authority.ts';
import { hostOf, labels, nowhere, rule } from './inputs.ts';

export function gateway(ports: readonly GatewayPort[], given: Partial<GatewayInput> = {}): GatewayInput {
  return {
    ports,
    destinations: [],
    locality: nowhere,
    forbiddenAddresses: new Set(),
    http: defaultHttpSettings,
    labels: labels('gateway'),
    ...given,
  };
}

export function gatewayPort(number: number, serves: PortService, given: Partial<GatewayPort> = {}): GatewayPort {
  return { number, hasIpv6: true, proxyProtocol: false, http3: null, serves, ...given };
}

export function httpSite(name: string, hosts: readonly VirtualHost[], given: Partial<HttpSite> = {}): HttpSite {
  return { name, hosts, security: noSecurity, ...given };
}

/** Of the domains, all requests to one service's port 80. */
export function hostTo(
  service: string,
  domains: readonly string[],
  given: Partial<VirtualHost> & { readonly rule?: Partial<HttpRule> } = {},
): VirtualHost {
  const { rule: changes, ...rest } = given;
  return { domains, rules: [rule(service, 80, changes)], redirectToHttps: false, ...rest };
}

export function connectionSite(
  name: string,
  services: readonly string[],
  given: Partial<ConnectionSite> = {},
): ConnectionSite {
  return { name, connections: services.map((service) => connectionTo(service)), security: noSecurity, ...given };
}

export function connectionTo(service: string, given: Partial<ConnectionRule> = {}): ConnectionRule {
  const destination = { namespace: null, hostname: hostOf(service), port: 80, subset: null };
  return { name: service, serverNames: [], from: null, targets: [{ destination, weight: 1 }], ...given };
}

export function serverTls(certificates: readonly string[], given: Partial<ServerTls> = {}): ServerTls {
  return { certificates, clients: null, minimumVersion: null, maximumVersion: null, cipherSuites: [], ...given };
}

export function httpsServer(serverNames: readonly string[], site: HttpSite, tls: ServerTls): TerminatingServer {
  return { serverNames, tls, serves: { kind: 'http', site } };
}

export function tlsServer(serverNames: readonly string[], site: ConnectionSite, tls: ServerTls): TerminatingServer {
  return { serverNames, tls, serves: { kind: 'tcp', site } };
}

export function passingServer(serverNames: readonly string[], site: ConnectionSite): PassingServer {
  return { serverNames, tls: null, serves: { kind: 'tcp', site } };
}

export function certificateSecret(name: string, { certificate, key }: Issued): GatewaySecret {
  return { kind: 'certificate', name, chain: certificate, key, staple: null };
}

export function rootsSecret(name: string, roots: string, revocationList: string | null = null): GatewaySecret {
  return { kind: 'roots', name, roots, revocationList };
}
