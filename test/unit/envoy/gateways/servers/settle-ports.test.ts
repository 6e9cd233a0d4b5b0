import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { GatewayServer, ServerTlsTerms } from '../../../../../src/envoy/gateways/server.ts';
import { settlePorts } from '../../../../../src/envoy/gateways/servers/settle-ports.ts';

interface Asked {
  readonly kind?: GatewayServer['kind'];
  readonly name?: string;
  readonly namespace?: string;
  readonly section?: string;
  readonly port?: number;
  readonly protocol?: GatewayServer['protocol'];
  readonly hosts?: readonly string[];
  readonly created?: number | null;
  /** Of its Secret; null: TLS goes through. */
  readonly secret?: string | null;
}

function server(asked: Asked): GatewayServer {
  const { kind = 'IstioGateway', name = 'a', namespace = 'shop', section = 'one', port = 80 } = asked;
  const { protocol = 'http', hosts = ['*'], created = 1, secret = 'web' } = asked;
  const hasTls = protocol === 'https' || protocol === 'tls';
  return {
    resource: `${kind} ${namespace}/${name}`,
    kind,
    namespace,
    name,
    section,
    port,
    protocol,
    hosts: hosts.map((host) => ({ name: host, namespace: null })),
    tls: hasTls ? (secret === null ? 'passthrough' : terms(secret)) : null,
    allowed: { namespaces: 'all', kinds: [] },
    redirectToHttps: false,
    created,
  };
}

function terms(name: string): ServerTlsTerms {
  return {
    certificates: [{ kind: 'Secret', namespace: null, name, use: 'certificate' }],
    clients: null,
    minimumVersion: null,
    maximumVersion: null,
    cipherSuites: [],
  };
}

const isClosed = (tls: GatewayServer['tls']): boolean =>
  tls !== null && tls !== 'passthrough' && tls.certificates.length === 0;
const nameOf = ({ name, section }: GatewayServer): string => `${name}.${section}`;
const hostsOf = ({ hosts }: GatewayServer): string => hosts.map(({ name }) => name).join();

/** `80 http a.one:*` */
function settle(...servers: readonly GatewayServer[]) {
  const { ports, conflicts } = settlePorts(servers);
  const served = ports.map(({ number, serves }) => {
    const parts = (() => {
      switch (serves.kind) {
        case 'http':
          return serves.servers.map((one) => `${nameOf(one)}:${hostsOf(one)}`);
        case 'tls':
          return serves.sites.map(
            ({ serverNames, servers: all, tls }) =>
              `${isClosed(tls) ? 'nobody' : all.map(nameOf).join('+')}:${serverNames.join()}`,
          );
        case 'tcp':
          return [nameOf(serves.server)];
      }
    })();
    return `${number} ${serves.kind} ${parts.join(' ')}`;
  });
  const lost = conflicts.map(
    ({ server: loser, problem, hosts, closed }) =>
      `${nameOf(loser)} ${problem.reason} ${hosts.join()}${closed ? ' closed' : ''}`,
  );
  return { served, lost, messages: conflicts.map(({ problem }) => problem.message).join('\n') };
}

void describe('the kind of traffic of a port', () => {
  test('is what the oldest has asked for', () => {
    const { served, lost, messages } = settle(
      server({ name: 'young', protocol: 'tcp', created: 2 }),
      server({ name: 'old', created: 1 }),
      server({ name: 'ageless', protocol: 'https', created: null }),
    );
    assert.deepEqual(served, ['80 http old.one:*']);
    assert.deepEqual(lost, ['young.one ProtocolConflict * closed', 'ageless.one ProtocolConflict * closed']);
    assert.match(messages, /port 80 is for requests without TLS, which IstioGateway shop\/old has asked for before/);
  });

  test('is what the Gateway of the proxies asks for, however young it is', () => {
    const { served } = settle(
      server({ name: 'old', protocol: 'tcp', created: 1 }),
      server({ name: 'own', kind: 'Gateway', created: 9 }),
    );
    assert.deepEqual(served, ['80 http own.one:*']);
  });

  test('is nobody’s where one Gateway asks for several', () => {
    const own = { kind: 'Gateway', name: 'own' } as const;
    const { served, lost } = settle(
      server(own),
      server({ ...own, section: 'two', protocol: 'tcp' }),
      server({ kind: 'ListenerSet', name: 'other' }),
    );
    assert.deepEqual(served, []);
    assert.deepEqual(lost, [
      'own.one ProtocolConflict * closed',
      'own.two ProtocolConflict * closed',
      'other.one ProtocolConflict * closed',
    ]);
  });

  test('is what an Istio Gateway asks for first', () => {
    const { served } = settle(server({}), server({ section: 'two', protocol: 'tcp' }));
    assert.deepEqual(served, ['80 http a.one:*']);
  });

  test('is TLS for those that end it and those that let it through', () => {
    const { served, lost } = settle(
      server({ name: 'a', protocol: 'https', hosts: ['a.example.com'] }),
      server({ name: 'b', protocol: 'tls', hosts: ['b.example.com'], secret: null }),
    );
    assert.deepEqual(served, ['80 tls a.one:a.example.com b.one:b.example.com']);
    assert.deepEqual(lost, []);
  });

  test('says nothing of other ports', () => {
    const { served } = settle(server({ port: 90, protocol: 'tcp' }), server({ port: 80 }));
    assert.deepEqual(served, ['80 http a.one:*', '90 tcp a.one']);
  });
});

void describe('hosts of requests', () => {
  test('are shared by Istio Gateways and Ingresses', () => {
    const { served, lost } = settle(
      server({ name: 'a' }),
      server({ name: 'b' }),
      server({ name: 'c', kind: 'Ingress' }),
    );
    assert.deepEqual(served, ['80 http c.one:* a.one:* b.one:*']);
    assert.deepEqual(lost, []);
  });

  test('of the Gateway API are one listener’s', () => {
    const { served, lost, messages } = settle(
      server({ kind: 'Gateway', name: 'own', hosts: ['a.example.com'] }),
      server({ kind: 'ListenerSet', name: 'set', hosts: ['a.example.com'] }),
      server({ kind: 'ListenerSet', name: 'set', section: 'two', hosts: ['*.example.com'] }),
      server({ name: 'istio', hosts: ['a.example.com', 'b.example.com'] }),
    );
    assert.deepEqual(served, ['80 http own.one:a.example.com istio.one:b.example.com set.two:*.example.com']);
    assert.deepEqual(lost, [
      'istio.one HostnameConflict a.example.com',
      'set.one HostnameConflict a.example.com closed',
    ]);
    assert.match(messages, /a\.example\.com on port 80 belongs to Gateway shop\/own/);
  });

  test('go to the older ListenerSet, then by name', () => {
    const set = (name: string, created: number | null) => server({ kind: 'ListenerSet', name, created });
    assert.deepEqual(settle(set('young', 2), set('old', 1)).served, ['80 http old.one:*']);
    assert.deepEqual(settle(set('b', null), set('a', null)).served, ['80 http a.one:*']);
  });

  test('that one Gateway gives to several listeners are nobody’s', () => {
    const own = { kind: 'Gateway', name: 'own' } as const;
    const { served, lost } = settle(
      server({ ...own, hosts: ['a.b'] }),
      server({ ...own, section: 'two', hosts: ['a.b'] }),
      server({ ...own, section: 'three', hosts: ['*'] }),
      server({ kind: 'ListenerSet', name: 'set', hosts: ['a.b'] }),
    );
    assert.deepEqual(served, ['80 http own.three:*']);
    assert.deepEqual(lost, [
      'own.one HostnameConflict a.b closed',
      'own.two HostnameConflict a.b closed',
      'set.one HostnameConflict a.b closed',
    ]);
  });

  test('do not tell one namespace what another one has', () => {
    const { messages } = settle(
      server({ kind: 'ListenerSet', namespace: 'secretive', name: 'hidden' }),
      server({ kind: 'ListenerSet', name: 'set', created: 2 }),
    );
    assert.match(messages, /belongs to a document of another namespace/);
    assert.doesNotMatch(messages, /secretive|hidden/);
  });
});

void describe('a ListenerSet', () => {
  test('is told that its own Gateway has what it asks for, wherever that is', () => {
    const { messages } = settle(
      server({ kind: 'Gateway', namespace: 'infra', name: 'edge' }),
      server({ kind: 'ListenerSet', name: 'set' }),
    );
    assert.match(messages, /belongs to Gateway infra\/edge/);
  });
});

void describe('names of TLS', () => {
  const tls = (name: string, fields: Asked = {}) => server({ name, protocol: 'https', hosts: ['a.b'], ...fields });

  test('are the oldest one’s', () => {
    const { served, lost } = settle(tls('young', { created: 2, hosts: ['a.b', 'c.d'] }), tls('old'));
    assert.deepEqual(served, ['80 tls old.one:a.b young.one:c.d']);
    assert.deepEqual(lost, ['young.one HostnameConflict a.b']);
  });

  test('are the first one’s of an Istio Gateway', () => {
    const { served, lost } = settle(tls('a'), tls('a', { section: 'two' }));
    assert.deepEqual(served, ['80 tls a.one:a.b']);
    assert.deepEqual(lost, ['a.two HostnameConflict a.b closed']);
  });

  test('that one Gateway lets through and ends are nobody’s, for their protocols', () => {
    const own = { kind: 'Gateway' } as const;
    const { served, lost } = settle(
      tls('own', own),
      tls('own', { ...own, section: 'two', protocol: 'tls', secret: null }),
    );
    assert.deepEqual(served, ['80 tls nobody:a.b']);
    assert.deepEqual(lost, ['own.one ProtocolConflict a.b closed', 'own.two ProtocolConflict a.b closed']);
  });

  test('of Ingresses that show the same Secret are one site', () => {
    const one = { kind: 'Ingress' } as const;
    const { served, lost } = settle(
      tls('a', one),
      tls('b', one),
      tls('c', { ...one, secret: 'other' }),
      tls('d', { ...one, namespace: 'team' }),
    );
    assert.deepEqual(served, ['80 tls a.one+b.one:a.b']);
    assert.deepEqual(lost, ['c.one HostnameConflict a.b closed', 'd.one HostnameConflict a.b closed']);
  });

  test('of Istio Gateways are not shared, whatever they show', () => {
    assert.deepEqual(settle(tls('a'), tls('b')).served, ['80 tls a.one:a.b']);
  });

  test('named twice by one server are its own', () => {
    const { served, lost } = settle(tls('a', { hosts: ['a.b', 'a.b'] }));
    assert.deepEqual([served, lost], [['80 tls a.one:a.b'], []]);
  });
});

void describe('connections without a name', () => {
  const tcp = (name: string, fields: Asked = {}) => server({ name, protocol: 'tcp', ...fields });

  test('are the oldest one’s', () => {
    const { served, lost } = settle(tcp('young', { created: 2 }), tcp('old'));
    assert.deepEqual([served, lost], [['80 tcp old.one'], ['young.one HostnameConflict * closed']]);
  });

  test('that one Gateway gives to several listeners are nobody’s', () => {
    const own = { kind: 'Gateway' } as const;
    const { served, lost } = settle(tcp('own', own), tcp('own', { ...own, section: 'two' }), tcp('other'));
    assert.deepEqual(served, []);
    assert.equal(lost.length, 3);
  });
});

const anyServer: fc.Arbitrary<Asked> = fc.record({
  kind: fc.constantFrom('Gateway', 'ListenerSet', 'IstioGateway', 'Ingress'),
  name: fc.constantFrom('a', 'b'),
  namespace: fc.constantFrom('shop', 'team'),
  port: fc.constantFrom(80, 443),
  protocol: fc.constantFrom('http', 'https', 'tls', 'tcp'),
  hosts: fc.uniqueArray(fc.constantFrom('*', 'a.b', '*.b', 'c.d'), { minLength: 1, maxLength: 3 }),
  secret: fc.constantFrom('web', 'other', null),
});

/** Of one document all have one age, and each a place; documents come in any order. */
const anyServers = fc.array(anyServer, { maxLength: 12 }).map((all) => {
  const documents = new Map<string, GatewayServer[]>();
  for (const asked of all) {
    const key = `${asked.kind ?? ''} ${asked.namespace ?? ''}/${asked.name ?? ''}`;
    const own = documents.get(key) ?? [];
    const hosts = asked.kind === 'IstioGateway' ? asked.hosts : asked.hosts?.slice(0, 1);
    const created = key.length % 3 === 0 ? null : key.charCodeAt(0);
    const protocol = asked.protocol === 'https' && asked.secret === null ? 'tls' : asked.protocol;
    own.push(
      server({ ...asked, hosts: hosts ?? [], created, protocol: protocol ?? 'http', section: String(own.length) }),
    );
    documents.set(key, own);
  }
  return [...documents.values()];
});

void describe('what is settled', () => {
  test('does not depend on the order in which documents come', () => {
    fc.assert(
      fc.property(anyServers, fc.infiniteStream(fc.nat()), (documents, numbers) => {
        const shuffled = documents
          .map((own) => [numbers.next().value as number, own] as const)
          .toSorted(([left], [right]) => left - right)
          .map(([, own]) => own);
        assert.deepEqual(settlePorts(shuffled.flat()), settlePorts(documents.flat()));
      }),
    );
  });

  test('gives each name of a port to one, loses nobody in silence, and mixes no kinds of traffic', () => {
    fc.assert(
      fc.property(anyServers, (documents) => {
        const all = documents.flat();
        const { ports, conflicts } = settlePorts(all);
        const kept: GatewayServer[] = [];
        for (const { number, serves } of ports) {
          if (serves.kind === 'tls') {
            const names = serves.sites.flatMap(({ serverNames }) => serverNames);
            assert.equal(new Set(names).size, names.length);
            for (const { servers, serverNames } of serves.sites) {
              for (const one of servers) assert.deepEqual([...new Set(one.hosts.map(({ name }) => name))], serverNames);
            }
          }
          const servers =
            serves.kind === 'tls'
              ? serves.sites.flatMap((site) => (isClosed(site.tls) ? [] : site.servers))
              : serves.kind === 'http'
                ? serves.servers
                : [serves.server];
          assert.ok(servers.every(({ port }) => port === number));
          kept.push(...servers);
        }
        for (const asked of all) {
          const same = (one: GatewayServer): boolean =>
            one.resource === asked.resource && one.section === asked.section;
          const got = kept.find(same)?.hosts.map(({ name }) => name) ?? [];
          const lost = conflicts.filter((conflict) => conflict.server === asked).flatMap(({ hosts }) => hosts);
          assert.deepEqual([...got, ...lost].sort(), asked.hosts.map(({ name }) => name).sort());
        }
      }),
    );
  });
});
