import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { canonicalName, formatHostPort, splitHostPort } from '../../src/runtime/host-port.ts'

describe('splitHostPort', () => {
  it('takes HOST:PORT, [IPV6]:PORT and a host alone apart', () => {
    assert.deepEqual(splitHostPort('vm-3:22'), { host: 'vm-3', isBracketed: false, port: '22' })
    assert.deepEqual(splitHostPort('[::1]:22'), { host: '::1', isBracketed: true, port: '22' })
    assert.deepEqual(splitHostPort('[fe80::1%25eth0]:22'), { host: 'fe80::1%eth0', isBracketed: true, port: '22' })
    assert.deepEqual(splitHostPort('vm-3'), { host: 'vm-3', isBracketed: false, port: undefined })
    assert.deepEqual(splitHostPort(':22'), { host: '', isBracketed: false, port: '22' })
    assert.deepEqual(splitHostPort('10.0.0.0/8:20-30'), { host: '10.0.0.0/8', isBracketed: false, port: '20-30' })
  })

  it('refuses an IPv6 address without brackets, and brackets that do not match', () => {
    for (const text of ['::1', '::1:22', 'a:b:c', '[::1', '::1]:22', '[[::1]]:22', '[::1]22', '[::1]:22:3'])
      assert.equal(splitHostPort(text), undefined, text)
  })

  it('reads what formatHostPort writes', () => {
    for (const host of ['vm-3', '127.0.0.1', '::1', 'fe80::1%eth0'])
      assert.deepEqual(splitHostPort(formatHostPort(host, 22)), { host, isBracketed: host.includes(':'), port: '22' })
  })
})

describe('canonicalName', () => {
  it('takes names of 253 characters, in labels of 63, and none that is longer', () => {
    const label = 'a'.repeat(63)
    assert.equal(canonicalName(`${label}.b`), `${label}.b`)
    assert.equal(canonicalName(`${label}a.b`), undefined)
    const longest = [label, label, label, 'a'.repeat(61)].join('.')
    assert.equal(canonicalName(`${longest}.`), longest)
    assert.equal(canonicalName(`${longest}a`), undefined)
  })
})
