import type { TestContext } from 'node:test';

import type { InstallerTools } from '../../../src/install/cluster/install.ts';
import type { Site } from '../../../src/install/objects/common.ts';
import { valuesSchema } from '../../../src/install/values.ts';
import { HastyTimers } from '../hasty-timers.ts';
import type { FakeApiServer } from './fake-api-server.ts';
import { FakeApplier } from './fake-applier.ts';
import { startFakeCluster } from './fake-cluster.ts';

export interface InstallFixture {
  readonly server: FakeApiServer;
  readonly applier: FakeApplier;
  readonly tools: InstallerTools;
  readonly lines: string[];
}

export const paths = {
  namespace: '/api/v1/namespaces/istio-system',
  agents: '/apis/apps/v1/namespaces/istio-system/daemonsets/ztunnel',
  control: '/apis/apps/v1/namespaces/istio-system/deployments/istiod',
  service: '/api/v1/namespaces/istio-system/services/istiod',
  agentRole: '/apis/rbac.authorization.k8s.io/v1/clusterroles/ztunnel-istio-system',
  webhook: '/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/ambit-validator-istio-system',
  settings: '/apis/ambit.dev/v1alpha1/meshsettings/default',
  strict: '/apis/security.istio.io/v1/namespaces/istio-system/peerauthentications/default',
  definitions: '/apis/apiextensions.k8s.io/v1/customresourcedefinitions',
};

/** A cluster without anything, whose definitions are established at once. */
export async function startInstallFixture(context: TestContext): Promise<InstallFixture> {
  const { server, client } = await startFakeCluster(context);
  const applier = new FakeApplier(server);
  applier.onChange = (path, method) => {
    if (method === 'PATCH' && path.startsWith(paths.definitions)) establish(applier, path);
  };
  const lines: string[] = [];
  const report = (line: string): void => {
    lines.push(line);
  };
  const { signal } = new AbortController();
  return { server, applier, lines, tools: { api: client, timers: new HastyTimers(), signal, report } };
}

export function siteWith(values: object = {}, namespace = 'istio-system'): Site {
  return { values: valuesSchema.parse(values), namespace, version: '1.2.3' };
}

export function establish(applier: FakeApplier, path: string): void {
  applier.patch(path, { status: { conditions: [{ type: 'Established', status: 'True' }] } });
}

/** As controllers report pods that run. */
export function rollOut(applier: FakeApplier): void {
  const counts = { replicas: 1, updatedReplicas: 1, availableReplicas: 1 };
  applier.patch(paths.control, { status: counts });
  applier.patch(paths.agents, {
    status: { desiredNumberScheduled: 2, updatedNumberScheduled: 2, numberAvailable: 2 },
  });
}
