import { envoyBinary } from '../../test/support/envoy/envoy-process.ts';
import { enter } from '../../test/support/namespaces.ts';
import { start } from '../../test/support/processes.ts';

const network = 'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager';

/** The same Envoy as a waypoint's without any mesh: it takes requests on the port and sends all of them to the server. */
export async function startPlainProxy(netns: string, port: number, server: string): Promise<void> {
  const config = JSON.stringify({
    staticResources: { listeners: [listener(port)], clusters: [cluster(server, port)] },
  });
  const quiet = ['--disable-hot-restart', '--log-level', 'error'];
  start(enter(netns, [await envoyBinary(), '--config-yaml', config, ...quiet]));
}

function listener(portValue: number): object {
  const typedConfig = {
    '@type': `type.googleapis.com/${network}`,
    statPrefix: 'plain',
    routeConfig: {
      virtualHosts: [
        { name: 'all', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster: 'server' } }] },
      ],
    },
    httpFilters: [
      {
        name: 'envoy.filters.http.router',
        typedConfig: { '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router' },
      },
    ],
  };
  const filters = [{ name: 'envoy.filters.network.http_connection_manager', typedConfig }];
  return { address: at('0.0.0.0', portValue), filterChains: [{ filters }] };
}

function cluster(server: string, port: number): object {
  const endpoint = { address: at(server, port) };
  return {
    name: 'server',
    type: 'STATIC',
    loadAssignment: { clusterName: 'server', endpoints: [{ lbEndpoints: [{ endpoint }] }] },
  };
}

function at(address: string, portValue: number): object {
  return { socketAddress: { address, portValue } };
}
