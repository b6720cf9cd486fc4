import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { TrunkError } from '../../../src/contracts/errors.ts'
import { addressPolicy, canonicalAddress } from '../../../protocols/tcp/policy.ts'
import { canonicalName } from '../../../src/runtime/host-port.ts'

const allows = (rule: string, address: string, port: number, name?: string): boolean =>
  addressPolicy([rule]).allows(address, port, name)

/** Addresses that only a rule which names them opens. */
const SPECIAL = [
  '0.0.0.0',
  '0.1.2.3',
  '169.254.0.1',
  '169.254.169.254',
  '168.63.129.16',
  '100.100.100.200',
  '192.0.0.192',
  '224.0.0.1',
  '239.255.255.255',
  '240.0.0.1',
  '255.255.255.255',
  '::',
  '::7f00:1',
  '::127.0.0.1',
  '::ffff:0:7f00:1',
  '::ffff:0.0.0.0',
  '::ffff:169.254.169.254',
  '64:ff9b::7f00:1',
  '64:ff9b::127.0.0.1',
  '64:ff9b:1::1',
  '2001::1',
  '2002:7f00:1::',
  'fd00:ec2::254',
  'fd20:ce::254',
  'fe80::1',
  'fec0::1',
  'ff02::1',
]

/** Spellings of a loopback address that a resolver takes, and that are no literals. */
const DISGUISED = [
  '127.1',
  '0x7f.1',
  '2130706433',
  '017700000001',
  '127。0。0。1',
  '127.0.0.1\0evil',
  '127.0.0.01',
  '0',
]

describe('address policy', () => {
  it('denies everything without a rule', () => {
    const policy = addressPolicy([])
    assert.equal(policy.allows('127.0.0.1', 80), false)
    assert.equal(policy.allows('127.0.0.1', 80, 'localhost'), false)
    assert.equal(policy.considers('localhost', 80), false)
  })

  it('allows an address and its port and nothing beside it', () => {
    assert.equal(allows('127.0.0.1:5432', '127.0.0.1', 5432), true)
    assert.equal(allows('127.0.0.1:5432', '127.0.0.1', 5433), false)
    assert.equal(allows('127.0.0.1:5432', '127.0.0.2', 5432), false)
    assert.equal(allows('127.0.0.1:5432', '::1', 5432), false)
    assert.equal(allows('[::1]:80', '::1', 80), true)
    assert.equal(allows('[::1]:80', '0:0:0:0:0:0:0:1', 80), true)
    assert.equal(allows('[::1]:80', '127.0.0.1', 80), false)
  })

  it('allows subnets, port ranges and any port', () => {
    assert.equal(allows('10.0.0.0/8:*', '10.255.0.1', 1), true)
    assert.equal(allows('10.0.0.0/8:*', '11.0.0.1', 1), false)
    assert.equal(allows('[fd12::/16]:8000-8100', 'fd12::9', 8100), true)
    assert.equal(allows('[fd12::/16]:8000-8100', 'fd12::9', 8101), false)
    assert.equal(allows('[fd12::/16]:8000-8100', 'fd13::9', 8100), false)
    assert.equal(allows('127.0.0.1:*', '127.0.0.1', 0), true)
    assert.equal(allows('127.0.0.1:0', '127.0.0.1', 0), true)
    assert.equal(allows('127.0.0.1:1-65535', '127.0.0.1', 0), false)
  })

  it('takes an IPv4-mapped address for the IPv4 address that it is [R-103]', () => {
    assert.equal(allows('127.0.0.1:80', '::ffff:127.0.0.1', 80), true)
    assert.equal(allows('127.0.0.1:80', '::ffff:7f00:1', 80), true)
    assert.equal(allows('127.0.0.1:80', '::FFFF:127.0.0.2', 80), false)
    assert.equal(allows('[::/0]:80', '::ffff:127.0.0.1', 80), false)
  })

  it('refuses special addresses under any, under wide subnets and under a name [R-103]', () => {
    for (const address of SPECIAL) {
      for (const rule of ['any', 'any:80', '0.0.0.0/0:*', '[::/0]:*', '128.0.0.0/1:*', 'evil.example:80']) {
        assert.equal(allows(rule, address, 80, 'evil.example'), false, `${rule} opens ${address}`)
      }
    }
  })

  it('opens a special address to a rule that names it or a subnet inside its range [R-103]', () => {
    assert.equal(allows('169.254.169.254:80', '169.254.169.254', 80), true)
    assert.equal(allows('169.254.0.0/16:80', '169.254.169.254', 80), true)
    assert.equal(allows('169.254.0.0/15:80', '169.254.169.254', 80), false)
    assert.equal(allows('0.0.0.0:8080', '0.0.0.0', 8080), true)
    assert.equal(allows('[::]:8080', '::', 8080), true)
    assert.equal(allows('[64:ff9b::/96]:80', '64:ff9b::7f00:1', 80), true)
  })

  it('refuses zone ids whatever the rules say [R-103]', () => {
    assert.equal(allows('[fe80::/10]:*', 'fe80::1%lo', 80), false)
    assert.equal(allows('any', '::1%lo', 80), false)
  })

  it('lets any reach loopback, private and public addresses', () => {
    for (const address of ['127.0.0.1', '::1', '10.0.0.1', '192.168.1.1', '8.8.8.8', '2606:4700::1111', 'fd12::1']) {
      assert.equal(allows('any', address, 443), true, address)
    }
    assert.equal(allows('any:443', '8.8.8.8', 80), false)
  })

  it('applies a name to exactly that name, whatever its case and final dot', () => {
    assert.equal(allows('Example.com:443', '93.184.216.34', 443, 'example.COM.'), true)
    assert.equal(allows('example.com:443', '93.184.216.34', 443, 'www.example.com'), false)
    assert.equal(allows('example.com:443', '93.184.216.34', 443), false)
    assert.equal(allows('example.com:443', '93.184.216.34', 80, 'example.com'), false)
  })

  it('[R-529] applies a star to the names below, and not to what only this machine reaches', () => {
    assert.equal(allows('*.Example.com:443', '93.184.216.34', 443, 'www.example.COM.'), true)
    assert.equal(allows('*.example.com:443', '93.184.216.34', 443, 'a.b.example.com'), true)
    assert.equal(allows('*.example.com:443', '10.0.0.1', 443, 'www.example.com'), true)
    for (const name of ['example.com', 'wwwexample.com', 'example.com.evil.org', '.example.com'])
      assert.equal(allows('*.example.com:443', '93.184.216.34', 443, name), false, name)
    assert.equal(allows('*.example.com:443', '93.184.216.34', 443), false)
    for (const address of ['127.0.0.1', '127.9.9.9', '::1', '::ffff:127.0.0.1', '169.254.169.254', '0.0.0.0'])
      assert.equal(allows('*.example.com:*', address, 80, 'www.example.com'), false, address)
    assert.equal(addressPolicy(['*.example.com:443']).considers('www.example.com', 443), true)
    assert.equal(addressPolicy(['*.example.com:443']).considers('example.com', 443), false)
    for (const rule of ['*:80', '*.:80', '*.*.a:80', 'a.*.b:80', '*.127.0.0.1:80', '*a.b:80', '*./a:80'])
      assert.throws(() => addressPolicy([rule]), { code: 'ERR_BAD_ARGUMENT' }, rule)
  })

  it('considers a name only where some rule could allow its answer', () => {
    assert.equal(addressPolicy(['example.com:443']).considers('example.com', 443), true)
    assert.equal(addressPolicy(['example.com:443']).considers('example.org', 443), false)
    assert.equal(addressPolicy(['10.0.0.0/8:443']).considers('example.org', 443), true)
    assert.equal(addressPolicy(['10.0.0.0/8:443']).considers('example.org', 80), false)
  })

  it('takes no disguised number for a name, an address or a rule', () => {
    for (const text of DISGUISED) {
      assert.equal(canonicalAddress(text), undefined, text)
      assert.equal(canonicalName(text), undefined, text)
      assert.equal(allows('any', text, 80), false, text)
      assert.throws(() => addressPolicy([`${text}:80`]), { code: 'ERR_BAD_ARGUMENT' }, text)
    }
  })

  it('takes no path, url or odd label for a name', () => {
    for (const text of [
      '/run/x.sock',
      '',
      '.',
      'a..b',
      '-a',
      'a b',
      'http://a',
      'a'.repeat(64),
      'a/24',
      'a:1',
      '*',
      '\u212a.com',
    ]) {
      assert.equal(canonicalName(text), undefined, text)
    }
    assert.equal(canonicalName('My_Host-1.Example.'), 'my_host-1.example')
  })

  it('throws for a bad rule at once and names it', () => {
    const bad = [
      '',
      '80',
      '127.0.0.1',
      '::1:80',
      '[::1]',
      '[127.0.0.1]:80',
      '127.0.0.1:65536',
      '127.0.0.1:9-1',
      '127.0.0.1:-1',
    ]
    bad.push(
      '127.0.0.1:80x',
      '10.0.0.0/33:1',
      '10.0.0.0/-1:1',
      '10.0.0.0/8/8:1',
      '[fe80::1%lo]:80',
      '[::ffff:1.2.3.4]:80',
      'a b:80',
    )
    bad.push('example.com/8:80', '[::/129]:1', 'any:x', '*:80', 'http://example.com:80')
    for (const rule of bad) {
      const named = (error: unknown) => error instanceof TrunkError && error.message.includes(`"${rule}"`)
      assert.throws(() => addressPolicy(['127.0.0.1:80', rule]), named, rule)
    }
    assert.throws(() => addressPolicy('any' as never), { code: 'ERR_BAD_ARGUMENT' })
    assert.throws(() => addressPolicy([5] as never), { code: 'ERR_BAD_ARGUMENT' })
  })

  it('refuses ports that are none', () => {
    for (const port of [-1, 65_536, 22.5, NaN])
      assert.equal(allows('127.0.0.1:*', '127.0.0.1', port), false, String(port))
  })
})
