import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { connect, DEFAULT_LIMITS, defineProtocol, overLink, serve, type LinkOptions } from '../../src/index.ts'
import { memoryPair } from '../../transports/memory.ts'
import { echo, outcome } from '../helpers/protocols.ts'
import { noStrayRejections } from '../helpers/stray-rejections.ts'

noStrayRejections()

/** Options that are nonsense, and what of them the message shows. */
const BAD_OPTIONS: readonly [options: unknown, shown: RegExp][] = [
  [{ limits: { keepaliveMs: NaN } }, /keepaliveMs.*NaN/],
  [{ limits: { helloTimeoutMs: -1 } }, /helloTimeoutMs.*-1/],
  [{ limits: { closeTimeoutMs: 1.5 } }, /closeTimeoutMs.*1\.5/],
  [{ limits: { writeStallMs: 2 ** 31 } }, /writeStallMs.*2147483648/],
  [{ limits: { connectTimeoutMs: Infinity } }, /connectTimeoutMs.*Infinity/],
  [{ limits: { maxPipes: 0 } }, /maxPipes.*0/],
  [{ limits: { initialWindowBytes: 0 } }, /initialWindowBytes.*0/],
  [{ limits: { initialWindowBytes: 1000, maxWindowBytes: 999 } }, /maxWindowBytes.*999/],
  [{ limits: { maxFrameBytes: '1024' } }, /maxFrameBytes.*1024/],
  [{ limits: { nonsense: 1 } }, /nonsense/],
  [{ limits: { constructor: 1 } }, /constructor/],
  [{ name: 'x'.repeat(65) }, /name/],
  [{ name: 7 }, /7/],
  [{ token: 'short' }, /token.*5/],
  [{ token: 1 }, /token/],
  [{ protocols: [echo, echo] }, /echo.*twice/],
  [{ protocols: [{ name: 'x' }] }, /x/],
  [{ protocols: [null] }, /null/],
  [{ protocols: {} }, /protocols/],
  [{ role: 'both' }, /both/],
  [{ traits: { lossless: true, connected: true, preferredFrameBytes: NaN } }, /preferredFrameBytes.*NaN/],
  [{ traits: { lossless: true, connected: true, preferredFrameBytes: 0 } }, /preferredFrameBytes.*0/],
]

describe('bad arguments', () => {
  for (const [options, shown] of BAD_OPTIONS) {
    it(`are named, and nothing is left of the link: ${JSON.stringify(options).slice(0, 60)} [R-079]`, async () => {
      const [link, other] = memoryPair()
      await assert.rejects(overLink(link, options as LinkOptions), { code: 'ERR_BAD_ARGUMENT', message: shown })
      // it was handed over, and its owner has let go of it
      assert.equal(await outcome(overLink(other)), 'ERR_LINK_RESET')
    })
  }

  it('are refused by every limit: below, above, fractional and NaN', async () => {
    const [link] = memoryPair()
    for (const name of Object.keys(DEFAULT_LIMITS)) {
      for (const value of [-1, NaN, 1.5, 2 ** 31, Infinity, '7', null]) {
        const limits = { [name]: value } as LinkOptions['limits']
        assert.equal(await outcome(overLink(link, { limits: limits ?? {} })), 'ERR_BAD_ARGUMENT', `${name}: ${value}`)
      }
    }
    link.abort(new Error('done'))
  })

  it('are refused as addresses', async () => {
    const wrong: [unknown, string][] = [
      [undefined, 'ERR_BAD_ARGUMENT'],
      [null, 'ERR_BAD_ARGUMENT'],
      [7, 'ERR_BAD_ARGUMENT'],
      [{}, 'ERR_BAD_ARGUMENT'],
      ['', 'ERR_ADDRESS_INVALID'],
      ['127.0.0.1:7000', 'ERR_ADDRESS_INVALID'],
      ['nonsense://x', 'ERR_TRANSPORT_UNKNOWN'],
      ['constructor:x', 'ERR_TRANSPORT_UNKNOWN'],
      ['tcp://127.0.0.1:99999', 'ERR_ADDRESS_INVALID'],
    ]
    for (const [address, code] of wrong) {
      assert.equal(await outcome(connect(address as string)), code, `connect ${String(address)}`)
      assert.equal(await outcome(serve(address as string)), code, `serve ${String(address)}`)
    }
  })

  it('are refused as links and as transports of a third party', async () => {
    for (const wrong of [undefined, null, 'link', {}, { source: [] }]) {
      assert.equal(await outcome(overLink(wrong as never)), 'ERR_BAD_ARGUMENT', JSON.stringify(wrong))
    }
    const traits = { lossless: true, connected: true, preferredFrameBytes: -5 }
    const transport = { scheme: 'x', address: 'x:', traits, connect: () => 1, listen: () => 1 }
    await assert.rejects(connect(transport as never), { code: 'ERR_BAD_ARGUMENT', message: /-5/ })
    await assert.rejects(serve(transport as never), { code: 'ERR_BAD_ARGUMENT', message: /-5/ })
    const [link] = memoryPair()
    await assert.rejects(overLink(link, { token: 'x'.repeat(16) }), { code: 'ERR_BAD_ARGUMENT', message: /role/ })
    link.abort(new Error('done'))
  })

  it('are refused by defineProtocol', () => {
    const good = { name: 'x', parse: () => 1, handle: async () => undefined }
    for (const wrong of [
      { name: '' },
      { name: 'ä'.repeat(128) },
      { parse: 1 },
      { handle: undefined },
      { version: 0 },
    ]) {
      assert.throws(() => defineProtocol({ ...good, ...wrong } as never), { code: 'ERR_BAD_ARGUMENT' })
    }
    assert.equal(defineProtocol(good).name, 'x')
  })

  it('are options of another call, which would do nothing', async () => {
    const of = {
      connect: { transports: {}, retry: false, reconnect: false, onConnection: () => undefined },
      serve: { transports: {}, onSessionError: () => undefined },
      overLink: { role: 'serve', traits: { lossless: true, connected: true, preferredFrameBytes: 1 } },
    } as const
    const calls = {
      connect: (options: object) => connect('memory:nobody', options),
      serve: (options: object) => serve('memory:nobody', options),
      overLink: (options: object) => overLink(memoryPair()[0], options),
    }
    let refused = 0
    for (const [call, make] of Object.entries(calls)) {
      for (const [name, value] of Object.entries({ ...of.connect, ...of.serve, ...of.overLink })) {
        if (name in of[call as keyof typeof of]) continue
        refused++
        const message = new RegExp(`${call} has no ${name}`)
        await assert.rejects(make({ [name]: value }), { code: 'ERR_BAD_ARGUMENT', message })
        if (call !== 'overLink') await assert.rejects(make({ [name]: undefined, name: 7 }), { message: /^name is/ })
      }
    }
    assert.equal(refused, 3 + 5 + 5)
  })

  it('may be absent: undefined members are defaults', async () => {
    const [link, other] = memoryPair()
    const options = {
      limits: { maxPipes: undefined },
      protocols: undefined,
      name: undefined,
    } as unknown as LinkOptions
    const trunks = await Promise.all([overLink(link, options), overLink(other)])
    assert.equal(trunks[1].status().peer.name, 'trunkline')
    await Promise.all(trunks.map((trunk) => trunk.close()))
  })
})
