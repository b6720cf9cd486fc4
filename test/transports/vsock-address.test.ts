import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { cpSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { TrunkError } from '../../src/contracts/errors.ts'
import { vsockConnectError, vsockListenError } from '../../transports/vsock/errors.ts'
import { vsock, type VsockOptions } from '../../transports/vsock.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const ANY = 2 ** 32 - 1

describe('vsock addresses', () => {
  const written = (address: string | VsockOptions): string => vsock(address).address

  it('are a CID, as a number or by its word, and a port', () => {
    assert.equal(written('vsock://3:5000'), 'vsock://3:5000')
    assert.equal(written('vsock://host:1024'), 'vsock://2:1024')
    assert.equal(written('vsock://local:1'), 'vsock://1:1')
    assert.equal(written('vsock://hypervisor:1'), 'vsock://0:1')
    assert.equal(written('vsock://any:0'), 'vsock://any:0')
    assert.equal(written('vsock://any:any'), 'vsock://any:0')
    assert.equal(written('vsock://4294967294:4294967294'), 'vsock://4294967294:4294967294')
    assert.equal(written({ port: 7 }), 'vsock://any:7')
    assert.equal(written({ cid: 'host', port: 7 }), 'vsock://2:7')
    assert.equal(written({ cid: ANY, port: 0 }), 'vsock://any:0')
  })

  it('that are anything else are refused, and shown', () => {
    const numbers = ['', '-1', '+1', '1.5', '1e3', '0x2', '01', ' 1', '1 ', '4294967296', '99999999999999999999', 'NaN']
    const addresses = [
      ...numbers.flatMap((number) => [`vsock://${number}:5000`, `vsock://3:${number}`]),
      ...['vsock://3', 'vsock://', 'vsock:3:5', 'vsock://3:5/', 'vsock://3:5?x', 'vsock://3:5#x', 'vsock://u@3:5', ''],
      ...['vsock://guest:5', 'vsock://HOST:5', 'vsock://3:4294967295', 'vsock://[3]:5', 'tcp://3:5', 'vsock://3:5\n'],
    ]
    for (const address of addresses) {
      assert.throws(
        () => vsock(address),
        (error: TrunkError) => {
          assert.equal(error.code, 'ERR_ADDRESS_INVALID', address)
          assert.ok(error.message.includes(JSON.stringify(address).slice(1, -1)), error.message)
          return true
        },
        address,
      )
    }
  })

  it('given as options are checked, the policy with them', () => {
    const bad = [-1, 2 ** 32, 1.5, NaN, '3', undefined, null]
    for (const value of bad) {
      assert.throws(() => vsock({ port: value as number }), { code: 'ERR_BAD_ARGUMENT' }, `port ${String(value)}`)
      const cid = value as number
      if (value !== undefined) {
        assert.throws(() => vsock({ port: 1, cid }), { code: 'ERR_BAD_ARGUMENT' }, `cid ${String(value)}`)
      }
      assert.throws(() => vsock({ port: 1, allow: [3, cid] }), { code: 'ERR_BAD_ARGUMENT' }, `allow ${String(value)}`)
    }
    assert.throws(() => vsock({ port: ANY }), { code: 'ERR_BAD_ARGUMENT' })
    for (const allow of [3, '3', {}, null]) {
      assert.throws(() => vsock({ port: 1, allow: allow as never }), { code: 'ERR_BAD_ARGUMENT' })
    }
  })

  it('dial no machine that is any, and no port 0', async () => {
    const options = { signal: new AbortController().signal } as never
    await assert.rejects(vsock('vsock://any:5').connect(options), { code: 'ERR_ADDRESS_INVALID' })
    await assert.rejects(vsock('vsock://3:0').connect(options), { code: 'ERR_ADDRESS_INVALID' })
  })
})

describe('vsock errors', () => {
  const system = (code: string): Error => Object.assign(new Error(`${code} /secret/path`), { code })
  const guest = { cid: 3, port: 5000 }
  const local = { cid: 1, port: 5000 }

  it('of dialling have a code each, which says what it is on vsock [R-108]', () => {
    const expected = {
      ECONNRESET: ['ERR_CONNECT_REFUSED', /nobody listens there$/],
      ECONNREFUSED: ['ERR_CONNECT_REFUSED', /nobody listens there$/],
      ENODEV: ['ERR_CONNECT_UNREACHABLE', /modprobe vhost_vsock/],
      EHOSTUNREACH: ['ERR_CONNECT_UNREACHABLE', /./],
      ENETUNREACH: ['ERR_CONNECT_UNREACHABLE', /./],
      ETIMEDOUT: ['ERR_CONNECT_TIMEOUT', /no answer in time$/],
      EADDRNOTAVAIL: ['ERR_ADDRESS_UNAVAILABLE', /./],
      EACCES: ['ERR_DENIED', /./],
      EAFNOSUPPORT: ['ERR_TRANSPORT_UNAVAILABLE', /the kernel has no vsock: .*modprobe/],
    } as const
    for (const [code, [wanted, message]] of Object.entries(expected)) {
      const cause = system(code)
      const error = vsockConnectError(cause, guest)
      assert.equal(error.code, wanted, code)
      assert.equal(error.scope, wanted === 'ERR_TRANSPORT_UNAVAILABLE' ? 'argument' : 'link', code)
      assert.equal(error.cause, cause, code)
      assert.match(error.message, message)
      assert.match(error.message, /^cannot connect to vsock:\/\/3:5000: /)
      assert.doesNotMatch(error.message, /secret/)
    }
  })

  it('of listening have a code each [R-113]', () => {
    const expected = {
      EADDRINUSE: ['ERR_ADDRESS_IN_USE', /./],
      EADDRNOTAVAIL: ['ERR_ADDRESS_UNAVAILABLE', /vsock:\/\/any:PORT/],
      EACCES: ['ERR_BIND_DENIED', /./],
      EAFNOSUPPORT: ['ERR_TRANSPORT_UNAVAILABLE', /modprobe/],
    } as const
    for (const [code, [wanted, message]] of Object.entries(expected)) {
      const error = vsockListenError(system(code), guest)
      assert.equal(error.code, wanted, code)
      assert.match(error.message, message)
    }
  })

  it('say what to load where a machine cannot reach itself', () => {
    for (const make of [vsockConnectError, vsockListenError]) {
      const error = make(system('EADDRNOTAVAIL'), local)
      assert.equal(error.code, 'ERR_TRANSPORT_UNAVAILABLE')
      assert.match(error.message, /modprobe vsock_loopback$/)
    }
  })

  it('that have a code of ours stay as they are', () => {
    const ours = new TrunkError('ERR_DENIED', 'no')
    assert.equal(vsockConnectError(ours, guest), ours)
    assert.equal(vsockListenError(ours, guest), ours)
  })
})

describe('vsock without the native addon', () => {
  it('can be imported and made, and says what is missing when it is used [R-136]', () => {
    const folder = temporaryFolder()
    // the sources elsewhere: nothing was built there
    for (const name of ['src', 'transports']) cpSync(join(ROOT, name), join(folder, name), { recursive: true })
    writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
    const code = `
      import { vsock } from ${JSON.stringify(join(folder, 'transports/vsock.ts'))}
      const transport = vsock('vsock://3:5000')
      const options = { signal: new AbortController().signal, limits: { connectTimeoutMs: 1 } }
      for (const use of ['connect', 'listen']) {
        await transport[use](options).catch((error) => console.log(error.code, error.message))
      }`
    const args = ['--import', 'tsx', '--input-type=module', '-e', code]
    const said = execFileSync(process.execPath, args, { cwd: ROOT, encoding: 'utf8' })
    const line =
      'ERR_TRANSPORT_UNAVAILABLE vsock needs .*native addon.*: the native addon (?:was not built|is switched off) .*\n'
    assert.match(said, new RegExp(`^(${line}){2}$`))
  })
})
