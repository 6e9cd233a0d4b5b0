import type { ExtensionProviderDocument } from '../../config/manifests/schemas/extension-providers.ts';
import type { ExternalAuthorizer } from './model.ts';

/** As Istio waits. */
const defaultTimeout = 600_000;
const defaultStatus = 403;

type Http = NonNullable<ExtensionProviderDocument['envoyExtAuthzHttp']>;
type Common = NonNullable<ExtensionProviderDocument['envoyExtAuthzGrpc']>;

/** Who may be asked by policies of action CUSTOM, by the names that these give. The first of a name counts. */
export function externalAuthorizers(
  documents: readonly ExtensionProviderDocument[],
): ReadonlyMap<string, ExternalAuthorizer> {
  const authorizers = new Map<string, ExternalAuthorizer>();
  for (const document of documents) {
    const authorizer = externalAuthorizer(document);
    if (authorizer !== null && !authorizers.has(document.name)) authorizers.set(document.name, authorizer);
  }
  return authorizers;
}

function externalAuthorizer({ name, ...kinds }: ExtensionProviderDocument): ExternalAuthorizer | null {
  const { envoyExtAuthzGrpc: grpc, envoyExtAuthzHttp: http } = kinds;
  if (grpc !== null) return { ...common(name, grpc), ...noHttp, protocol: 'grpc' };
  return http === null ? null : { ...common(name, http), ...httpOf(http), protocol: 'http' };
}

function common(name: string, document: Common) {
  const { service, port, timeout, failOpen, statusOnError, includeRequestBodyInCheck: body } = document;
  // A namespace may stand before the host.
  const slash = service.indexOf('/');
  const hostname = service.slice(slash + 1);
  const namespace = slash < 0 ? null : service.slice(0, slash);
  return {
    name,
    destination: { namespace, hostname, port, subset: null },
    timeout: timeout ?? defaultTimeout,
    failOpen: failOpen ?? false,
    choosesRouteAnew: document.clearRouteCache ?? false,
    statusOnError: statusOnError === null ? defaultStatus : Number(statusOnError),
    body:
      body === null
        ? null
        : {
            maximumBytes: body.maxRequestBytes,
            partial: body.allowPartialMessage ?? false,
            asBytes: body.packAsBytes ?? false,
          },
  };
}

const noHttp = {
  pathPrefix: '',
  includedHeaders: [],
  additionalHeaders: [],
  headersToUpstream: [],
  headersToDownstreamOnDeny: [],
  headersToDownstreamOnAllow: [],
};

function httpOf(document: Http) {
  return {
    pathPrefix: document.pathPrefix ?? '',
    includedHeaders: [...document.includeRequestHeadersInCheck, ...document.includeHeadersInCheck],
    additionalHeaders: Object.entries(document.includeAdditionalHeadersInCheck).map(([name, value]) => ({
      name,
      value,
    })),
    headersToUpstream: document.headersToUpstreamOnAllow,
    headersToDownstreamOnDeny: document.headersToDownstreamOnDeny,
    headersToDownstreamOnAllow: document.headersToDownstreamOnAllow,
  };
}
