import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import type { GatewayReport } from '../../../../src/control/gateway-report.ts';
import type { KubeObject } from '../../../../src/kube/objects.ts';
import { waitFor } from '../../../support/wait.ts';
import { doorSpec, gatewayApi, gatewayObject, startDeployer } from './rig.ts';
import type { DeployerRig } from './rig.ts';

const fast = { interval: 2, timeout: 5000 };
const statusPath = `${gatewayApi}/namespaces/team/listenersets/more/status`;

function listenerSet(): KubeObject {
  return {
    metadata: { name: 'more', namespace: 'team', uid: 'uid-of-set', generation: 2 },
    spec: {
      parentRef: { name: 'waypoint', namespace: 'shop' },
      listeners: [{ name: 'web', port: 8080, protocol: 'HTTP' }],
    },
  } as KubeObject;
}

function report(attachedRoutes: number, conditions: GatewayReport['conditions'] = []): GatewayReport {
  return { ports: [], conditions, listeners: [{ name: 'web', attachedRoutes, supportedKinds: [], conditions: [] }] };
}

interface Said {
  readonly conditions: readonly { readonly type: string; readonly status: string; readonly reason: string }[];
  readonly listeners: readonly { readonly attachedRoutes: number; readonly conditions: Said['conditions'] }[];
}

function statusOf({ server }: DeployerRig): Said {
  const last = server.requests.filter(({ path, method }) => method === 'PATCH' && path === statusPath).at(-1);
  return (last?.body as { readonly status: Said } | undefined)?.status ?? { conditions: [], listeners: [] };
}

function said({ conditions }: Pick<Said, 'conditions'>, type: string): string {
  const found = conditions.find((condition) => condition.type === type);
  return `${found?.status ?? ''} ${found?.reason ?? ''}`;
}

/** Its Gateway is programmed, or not yet. */
function putGateway(rig: DeployerRig, status: 'True' | 'False'): void {
  const conditions = [{ type: 'Programmed', status, reason: status === 'True' ? 'Programmed' : 'Pending' }];
  rig.put(`${gatewayApi}/gateways`, {
    ...gatewayObject({ annotations: { 'gateway.istio.io/controller-version': '9' } }, doorSpec),
    status: { conditions },
  } as KubeObject);
}

describe('the status of a ListenerSet', () => {
  it('has what the mesh makes of its listeners, and follows its Gateway', async (context) => {
    const rig = await startDeployer(context);
    rig.put(`${gatewayApi}/listenersets`, listenerSet());
    putGateway(rig, 'False');
    rig.reports.set('ListenerSet team/more', report(3));
    rig.run();
    await waitFor(() => said(statusOf(rig), 'Accepted') === 'True Accepted', fast);
    assert.equal(said(statusOf(rig), 'Programmed'), 'False Pending');
    assert.equal(statusOf(rig).listeners[0]?.attachedRoutes, 3);
    putGateway(rig, 'True');
    await waitFor(() => {
      rig.timers.advance(1000);
      return said(statusOf(rig), 'Programmed') === 'True Programmed';
    }, fast);
    assert.equal(said(statusOf(rig).listeners[0] ?? { conditions: [] }, 'Programmed'), 'True Programmed');
  });

  it('says that its Gateway does not take it', async (context) => {
    const rig = await startDeployer(context);
    rig.put(`${gatewayApi}/listenersets`, listenerSet());
    const refusal = { type: 'Accepted', status: 'False', reason: 'NotAllowed', message: 'no' } as const;
    rig.reports.set('ListenerSet team/more', report(0, [refusal]));
    rig.run();
    await waitFor(() => said(statusOf(rig), 'Accepted') === 'False NotAllowed', fast);
    assert.equal(said(statusOf(rig), 'Programmed'), 'False Invalid');
  });

  it('is written again when a route is attached', async (context) => {
    const rig = await startDeployer(context);
    rig.put(`${gatewayApi}/listenersets`, listenerSet());
    rig.reports.set('ListenerSet team/more', report(1));
    rig.run();
    await waitFor(() => statusOf(rig).listeners[0]?.attachedRoutes === 1, fast);
    rig.reports.set('ListenerSet team/more', report(2));
    rig.timers.advance(1000);
    await waitFor(() => statusOf(rig).listeners[0]?.attachedRoutes === 2, fast);
  });

  it('is left to others where nothing is reported of it', async (context) => {
    const rig = await startDeployer(context);
    rig.put(`${gatewayApi}/listenersets`, listenerSet());
    rig.put(`${gatewayApi}/gateways`, gatewayObject());
    rig.run();
    await waitFor(() => rig.written().length > 3, fast);
    assert.equal(statusOf(rig).conditions.length, 0);
  });
});
