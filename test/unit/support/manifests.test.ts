import assert from 'node:assert/strict';
import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { parseAllDocuments } from 'yaml';

import { ManifestFolder, namespace, peerAuthentication, pod, service } from '../../support/manifests.ts';

describe('manifest folder', () => {
  let folder = '';
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'ambit-unit-'));
  });
  after(() => rm(folder, { recursive: true }));

  it('holds several documents a file and leaves no temporary one', async () => {
    const manifests = new ManifestFolder(folder);
    await manifests.write('policy', [namespace('shop'), peerAuthentication('shop', 'STRICT')]);
    await manifests.write('policy', [namespace('shop'), peerAuthentication('shop', 'PERMISSIVE')]);
    assert.deepEqual(await readdir(folder), ['policy.yaml']);
    const documents = parseAllDocuments(await readFile(join(folder, 'policy.yaml'), 'utf8'));
    assert.deepEqual(
      documents.map((document) => document.get('kind')),
      ['Namespace', 'PeerAuthentication'],
    );
  });

  it('names what a pod needs to be found', () => {
    const manifest = pod({
      name: 'a',
      namespace: 'shop',
      nodeName: 'n',
      netns: 'x',
      addresses: ['10.0.0.1', 'fd00::1'],
    });
    assert.deepEqual(manifest.metadata['annotations'], { 'ambit.dev/netns': 'x' });
    const status = manifest['status'] as { podIPs: unknown };
    assert.deepEqual(status.podIPs, [{ ip: '10.0.0.1' }, { ip: 'fd00::1' }]);
  });

  it('maps service ports to target ports', () => {
    const manifest = service({ name: 's', namespace: 'n', vips: ['10.0.0.9'], ports: { 80: 8080 }, selector: {} });
    const spec = manifest['spec'] as { ports: unknown };
    assert.deepEqual(spec.ports, [{ name: 'tcp-80', protocol: 'TCP', port: 80, targetPort: 8080 }]);
  });
});
