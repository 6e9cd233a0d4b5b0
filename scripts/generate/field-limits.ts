/** Fields that are read so that it can be told that they are not honoured, wholly or in part, and what happens instead. */

type Limits = Readonly<Record<string, string>>;

const noGateways = 'no effect: routes are attached to what their `parentRefs` name';
const hostnames = 'at gateways; on a service no effect: the address that was asked for counts';
const sessions = 'no effect: any endpoint is chosen';
const filtered = 'what it filters is answered 500';
const unseen = 'the match never holds';

const ofRoutes: Limits = { 'spec.useDefaultGateways': noGateways };

const connectionMatches = (field: string): Limits => ({
  [`${field}.destinationSubnets`]: unseen,
  [`${field}.sourceLabels`]: unseen,
  [`${field}.sourceNamespace`]: unseen,
});

const ofTrafficPolicies = (field: string): Limits => ({
  [`${field}.loadBalancer.warmup`]:
    'with `ROUND_ROBIN` and `LEAST_REQUEST`; with others new endpoints have their full share',
  [`${field}.loadBalancer.localityLbSetting.failoverPriority`]: 'no effect: region, zone and subzone count',
  [`${field}.tls.mode`]: '`ISTIO_MUTUAL` says nothing: the node does it for every workload of the mesh',
  [`${field}.tls.credentialName`]: 'connections that need it fail',
  [`${field}.tls.caCrl`]: 'connections that need it fail',
  [`${field}.tunnel`]: 'no effect',
  [`${field}.proxyProtocol`]: 'no effect',
  [`${field}.retryBudget`]: 'no effect',
});

const noBackendTls = 'no effect: how backends are spoken to, a DestinationRule says';

const files = 'the server is closed: files in the proxy’s pod are not read, `credentialName` names a Secret';

const ofListeners: Limits = {
  'spec.listeners[].protocol':
    '`HTTP`, `HTTPS`, `TLS`, `TCP`; with another one the listener is closed (`UnsupportedProtocol`)',
  'spec.listeners[].tls.options':
    '`gateway.istio.io/tls-terminate-mode` (`SIMPLE`, `MUTUAL`, `OPTIONAL_MUTUAL`) and `gateway.istio.io/tls-cipher-suites`; others have no effect',
  'spec.listeners[].tls.frontendValidation.caCertificateRefs': 'only the first one that can be used is measured by',
  'spec.listeners[].tls.frontendValidation.mode':
    'with `AllowInsecureFallback` a client may have no certificate, but one that is wrong is refused',
};

/** By kind, then by field. */
export const fieldLimits: Readonly<Record<string, Limits>> = {
  AuthorizationPolicy: {
    'spec.provider.name': 'of `CUSTOM` alone; what the rules name is denied while nobody of that name can be asked',
    'spec.rules[].when[].key':
      'of a key that nobody knows an `ALLOW` rule never matches, others are as wide as without it',
  },
  BackendTLSPolicy: {
    'spec.targetRefs': noBackendTls,
    'spec.validation': noBackendTls,
    'spec.validation.wellKnownCACertificates': noBackendTls,
    'spec.options': noBackendTls,
  },
  DestinationRule: {
    ...ofTrafficPolicies('spec.trafficPolicy'),
    'spec.workloadSelector': 'no effect: it holds for all clients',
  },
  GRPCRoute: {
    ...ofRoutes,
    'spec.hostnames': hostnames,
    'spec.rules[].sessionPersistence': sessions,
    'spec.rules[].filters[].extensionRef': filtered,
    'spec.rules[].backendRefs[].filters': 'only headers are changed; with another filter its share is answered 500',
  },
  Gateway: {
    ...ofListeners,
    'spec.tls.backend': 'no effect: a gateway shows backends no certificate of its own',
    'spec.backendTLS': 'no effect: a gateway shows backends no certificate of its own',
    'spec.defaultScope': 'no effect: routes name their parents',
  },
  HTTPRoute: {
    ...ofRoutes,
    'spec.hostnames': hostnames,
    'spec.rules[].sessionPersistence': sessions,
    'spec.rules[].filters[].externalAuth': filtered,
    'spec.rules[].filters[].extensionRef': filtered,
    'spec.rules[].backendRefs[].filters': 'only headers are changed; with another filter its share is answered 500',
  },
  IstioGateway: {
    'spec.servers[].port.protocol':
      '`HTTP`, `HTTP2`, `GRPC`, `GRPC-WEB`, `HTTPS`, `TLS`, `TCP`; with another one the server is closed',
    'spec.servers[].port.targetPort': 'no effect: the Service of the gateway’s pods says it',
    'spec.servers[].bind':
      'no effect: every address of the pod is listened on; with one that only the pod has, the server is closed',
    'spec.servers[].defaultEndpoint': 'no effect: routes say where it goes',
    'spec.servers[].tls.mode':
      'with `AUTO_PASSTHROUGH` and `ISTIO_MUTUAL` the server is closed: there are no sidecars, and the proxy has no certificate of the mesh',
    'spec.servers[].tls.serverCertificate': files,
    'spec.servers[].tls.privateKey': files,
    'spec.servers[].tls.caCertificates': files,
    'spec.servers[].tls.caCrl': files,
    'spec.servers[].tls.tlsCertificates': files,
    'spec.servers[].tls.cipherSuites': 'what gateways do not speak is left out: [gateways.md](gateways.md)',
  },
  ListenerSet: { ...ofListeners },
  RequestAuthentication: {
    'spec.selector': 'no effect: only waypoints look at tokens, and those are named by `targetRefs`',
    'spec.jwtRules[].timeout': 'no effect: keys are fetched beforehand, in 10 s',
  },
  TCPRoute: { ...ofRoutes, 'spec.rules': 'only the first one counts' },
  TLSRoute: { ...ofRoutes, 'spec.rules': 'only the first one counts' },
  VirtualService: {
    'spec.http[].match[].headers':
      '`uri`, `scheme`, `method` and `authority` are no headers and are not looked at, as in Istio',
    'spec.http[].retries.retryOn': 'what is neither a status nor a condition that Envoy knows is left out',
    'spec.http[].fault.delay.exponentialDelay': 'nothing is delayed by it',
    'spec.http[].fault.abort.http2Error': 'nothing is aborted by it',
    'spec.http[].route[].headers': 'the host of one destination cannot be set',
    ...connectionMatches('spec.tls[].match[]'),
    ...connectionMatches('spec.tcp[].match[]'),
    'spec.tcp[].match[].sourceSubnet': unseen,
  },
};
