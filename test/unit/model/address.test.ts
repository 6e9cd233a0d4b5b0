import assert from 'node:assert/strict';
import { isIP } from 'node:net';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  addressFromBytes,
  canonicalAddress,
  cidrContains,
  cidrOf,
  commonPrefixLength,
  formatEndpoint,
  parseAddress,
  parseCidr,
} from '../../../src/model/address.ts';

const addressBytes = fc.oneof(
  fc.uint8Array({ minLength: 4, maxLength: 4 }),
  fc.uint8Array({ minLength: 16, maxLength: 16 }),
  // Runs of zeros are where compression goes wrong.
  fc.array(fc.constantFrom(0, 0, 0, 1, 255), { minLength: 16, maxLength: 16 }).map((bytes) => Uint8Array.from(bytes)),
);

void describe('an address', () => {
  for (const [text, canonical] of [
    ['10.0.0.1', '10.0.0.1'],
    ['0.0.0.0', '0.0.0.0'],
    ['255.255.255.255', '255.255.255.255'],
    ['::', '::'],
    ['::1', '::1'],
    ['1::', '1::'],
    ['FD00:0:0:0:0:0:0:1', 'fd00::1'],
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['2001:0db8::0001', '2001:db8::1'],
    ['::ffff:10.0.0.1', '10.0.0.1'],
    ['::FFFF:0a00:0001', '10.0.0.1'],
    ['0:0:0:0:0:ffff:10.0.0.1', '10.0.0.1'],
    ['::10.0.0.1', '::a00:1'],
    ['64:ff9b::10.0.0.1', '64:ff9b::a00:1'],
    ['1:2:3:4:5:6:7::', '1:2:3:4:5:6:7:0'],
  ] as const) {
    test(`${text} is ${canonical}`, () => {
      assert.equal(canonicalAddress(text), canonical);
    });
  }

  for (const text of [
    ...[
      '',
      ' ',
      '10.0.0',
      '10.0.0.0.1',
      '10.0.0.256',
      '010.0.0.1',
      '10.0.0.1 ',
      '10.0.0.-1',
      '0x10.0.0.1',
      '1e1.0.0.1',
    ],
    ...[':', ':::', '1:::2', '::1::', '1:2:3:4:5:6:7', '1:2:3:4:5:6:7:8:9', '1:2:3:4:5:6:7:8::', '::12345', '::g'],
    ...['fe80::1%eth0', '[::1]', '::10.0.0', '10.0.0.1::', '::10.0.0.1:1', ':1::', '1:', '::1:'],
  ]) {
    test(`${JSON.stringify(text)} is none`, () => {
      assert.equal(parseAddress(text), null);
    });
  }

  test('reads back as it was written', () => {
    fc.assert(
      fc.property(addressBytes, (bytes) => {
        const address = addressFromBytes(bytes);
        assert.deepEqual(parseAddress(address.text), address);
        assert.equal(isIP(address.text), address.family);
      }),
    );
  });

  test('is read from any text that node:net takes, zones apart', () => {
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), (text) => {
        assert.notEqual(parseAddress(text), null);
      }),
    );
  });

  test('never comes of a text that node:net refuses', () => {
    const nearly = fc.string({ unit: fc.constantFrom('0', '1', 'f', ':', '.', '2', '5', '%'), maxLength: 18 });
    fc.assert(
      fc.property(nearly, (text) => {
        if (isIP(text) === 0) assert.equal(parseAddress(text), null);
      }),
      { numRuns: 2000 },
    );
  });
});

void describe('a block', () => {
  for (const [text, canonical] of [
    ['10.1.2.3/8', '10.0.0.0/8'],
    ['10.1.2.3', '10.1.2.3/32'],
    ['0.0.0.0/0', '0.0.0.0/0'],
    ['::/0', '::/0'],
    ['fd00::1', 'fd00::1/128'],
    ['fd00:0:0:ffff::1/49', 'fd00:0:0:8000::/49'],
    ['::ffff:10.1.2.3/104', '10.0.0.0/8'],
    ['::ffff:0:0/96', '0.0.0.0/0'],
  ] as const) {
    test(`${text} is ${canonical}`, () => {
      assert.equal(parseCidr(text)?.text, canonical);
    });
  }

  for (const text of [
    '10.0.0.0/33',
    '10.0.0.0/-1',
    '10.0.0.0/',
    '/8',
    '10.0.0.0/08',
    '10.0.0.0/8/8',
    '::/129',
    '::ffff:10.0.0.0/95',
    'x/8',
    '10.0.0.0/1e1',
  ]) {
    test(`${text} is none`, () => {
      assert.equal(parseCidr(text), null);
    });
  }

  test('contains an address exactly if they share its prefix', () => {
    fc.assert(
      fc.property(
        fc.tuple(fc.uint8Array({ minLength: 4, maxLength: 4 }), fc.uint8Array({ minLength: 4, maxLength: 4 })),
        fc.integer({ min: 0, max: 32 }),
        ([left, right], length) => {
          const bits = (bytes: Uint8Array) => [...bytes].map((byte) => byte.toString(2).padStart(8, '0')).join('');
          const expected = bits(left).slice(0, length) === bits(right).slice(0, length);
          assert.equal(cidrContains(cidrOf(addressFromBytes(left), length), addressFromBytes(right)), expected);
        },
      ),
    );
  });

  test('of one family contains no address of the other', () => {
    const any = parseCidr('::/0');
    const address = parseAddress('10.0.0.1');
    assert.ok(any !== null && address !== null);
    assert.equal(cidrContains(any, address), false);
  });

  test('shares a prefix no longer than asked for', () => {
    assert.equal(commonPrefixLength(Uint8Array.of(0xff, 0x80), Uint8Array.of(0xff, 0x00), 16), 8);
    assert.equal(commonPrefixLength(Uint8Array.of(0xff, 0x80), Uint8Array.of(0xff, 0x00), 5), 5);
    assert.equal(commonPrefixLength(Uint8Array.of(1), Uint8Array.of(1), 0), 0);
  });
});

test('an endpoint has brackets for IPv6', () => {
  assert.equal(formatEndpoint('10.0.0.1', 80), '10.0.0.1:80');
  assert.equal(formatEndpoint('fd00::1', 80), '[fd00::1]:80');
});
