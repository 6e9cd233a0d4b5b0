import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { create } from '@bufbuild/protobuf';

import { chainResource } from '../../src/control/envoy/chain-resource.ts';
import { listenerResource } from '../../src/control/envoy/listener-resource.ts';
import { routesResource } from '../../src/control/envoy/routes-resource.ts';
import type { WaypointResource } from '../../src/control/envoy/waypoint-resource.ts';
import { buildWaypoint } from '../../src/envoy/build.ts';
import type { BoundService } from '../../src/envoy/model.ts';
import { always, noSecurity } from '../../src/envoy/security/model.ts';
import type { AccessPolicy, Security } from '../../src/envoy/security/model.ts';
import { packed } from '../../src/envoy/values.ts';
import {
  FilterChainSchema,
  FilterSchema,
} from '../../src/proto/gen/envoy-api/envoy/config/listener/v3/listener_components_pb.ts';
import type { FilterChain } from '../../src/proto/gen/envoy-api/envoy/config/listener/v3/listener_components_pb.ts';
import { RBACSchema } from '../../src/proto/gen/envoy-api/envoy/extensions/filters/network/rbac/v3/rbac_pb.ts';
import { DiscoveringEnvoy } from '../support/envoy/discovering-envoy.ts';
import { envoyBinary } from '../support/envoy/envoy-process.ts';
import { HandBuiltControl } from '../support/envoy/hand-built-control.ts';
import { input, port, rule, service } from '../support/envoy/inputs.ts';
import { ask } from '../support/envoy/requests.ts';
import { authentication, securityOfWeb } from '../support/envoy/security.ts';
import { waitFor } from '../support/wait.ts';

const names = ['a', 'b', 'c'] as const;
type Name = (typeof names)[number];

const addressOf = (name: Name): string => `10.96.0.${names.indexOf(name) + 1}`;
const origin = (name: string): readonly string[] => [`Service shop/${name}`];
const tokens = securityOfWeb([authentication([{ issuer: 'https://issuer.example', jwks: '{"keys":[]}' }])]);

/** Requests to it are answered by the waypoint itself. */
function answering(name: Name, security: Security): BoundService {
  const action = { kind: 'respond', status: 200, body: null } as const;
  const ports = [port(80, 'http1', { rules: [{ ...rule(name, 80), action }] }), port(9, 'tcp')];
  return { ...service(name, addressOf(name), ...ports), security };
}

/** A text that is no pattern of RE2's stands in what is refused. */
function policyFor(pattern: string): AccessPolicy {
  const source = { kind: 'identity', match: { kind: 'regex', value: pattern } } as const;
  return { name: 'shop/p', action: 'allow', provider: null, dryRun: false, rules: [{ source, operation: always }] };
}

type Bad = 'with the same security' | 'with another security';

/** The chain as Envoy refuses it: a filter that asks, or one that does not, has statistics without a name. */
function spoilt(chain: FilterChain, how: Bad): FilterChain {
  const typedConfig = { case: 'typedConfig' as const, value: packed(RBACSchema) };
  const name =
    how === 'with another security' ? 'envoy.filters.network.rbac' : 'envoy.filters.network.set_filter_state';
  const filter = create(FilterSchema, { name, configType: typedConfig });
  return create(FilterChainSchema, { ...chain, filters: [filter, ...chain.filters] });
}

describe('an Envoy that refuses a chain', { timeout: 120_000 }, () => {
  let control: HandBuiltControl;
  let envoy: DiscoveringEnvoy;

  /** @param bad the chain of requests of `b` */
  function resources(security: Security, bad: Bad | null = null): readonly WaypointResource[] {
    const services = names.map((name) => answering(name, security));
    const { listeners, filterChains, routes } = buildWaypoint(input({ services }));
    return [
      ...listeners.map((listener) => listenerResource(listener, ['Gateway shop/waypoint'])),
      ...filterChains.map((chain) => {
        const [name = ''] = /[a-c](?=\.default)/.exec(chain.name) ?? [];
        const isBad = bad !== null && name === 'b' && chain.name.includes('|http|');
        return chainResource(isBad ? spoilt(chain, bad) : chain, origin(name));
      }),
      ...routes.map((one) => routesResource(one, [])),
    ];
  }

  const answers = (): Promise<readonly (number | null)[]> =>
    Promise.all(
      names.map(async (name) => {
        const socket = await envoy.connect(addressOf(name), 80);
        const answer = await ask(socket, { headers: { authorization: 'Bearer a.b.c' } }).catch(() => null);
        return answer?.status ?? null;
      }),
    );

  async function become(wanted: readonly (number | null)[]): Promise<void> {
    let last: readonly (number | null)[] = [];
    await waitFor(
      async () => {
        last = await answers();
        return last.join() === wanted.join();
      },
      { what: wanted.join(), interval: 20 },
    ).catch(() => {
      assert.deepEqual(last, wanted);
    });
  }

  const told = (): readonly string[] => [...new Set(control.conditions().map(({ resource }) => resource))];
  const consequences = (): string =>
    control
      .conditions()
      .map(({ message }) => message)
      .join('\n');

  before(async () => {
    await envoyBinary();
    control = await HandBuiltControl.start();
    control.set(...resources(noSecurity));
    envoy = await DiscoveringEnvoy.start({ port: control.port, credentials: null, cluster: control.waypoint });
    await become([200, 200, 200]);
  });

  after(async () => {
    await envoy.stop();
    control.stop();
  });

  test('keeps that of before in force where it asks the same of those who come', async () => {
    control.set(...resources(noSecurity, 'with the same security'));
    await waitFor(() => told().length > 0, { what: 'a condition' });
    assert.deepEqual(told(), origin('b'));
    await become([200, 200, 200]);
  });

  test('closes it where that asks something else, and the others ask it', async () => {
    control.set(...resources(tokens, 'with another security'));
    await become([401, null, 401]);
    assert.deepEqual(told(), origin('b'));
    await waitFor(() => consequences().includes('connections there are closed'), { what: 'the consequence' });
  });

  test('opens it once it was mended', async () => {
    control.set(...resources(tokens));
    await become([401, 401, 401]);
    await waitFor(() => told().length === 0, { what: 'no condition' });
  });

  test('takes a listener whose gates are refused without them', async () => {
    control.set(...resources({ ...tokens, policies: [policyFor('spiffe://.*')] }));
    const page = () => envoy.page('/config_dump?resource=dynamic_listeners');
    await waitFor(async () => (await page()).includes('spiffe://.*'), { what: 'the gate' });
    const [listener] = resources({ ...tokens, policies: [policyFor('(?=a)')] });
    assert.ok(listener !== undefined);
    control.set(listener);
    const isTold = () => consequences().includes('refused wherever policies ask who comes');
    await waitFor(isTold, { what: 'the consequence' });
    assert.doesNotMatch(await page(), /spiffe:\/\/\.\*/);
    await become([401, 401, 401]);
  });
});
