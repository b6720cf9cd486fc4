/**
 * The hello by itself: which values are taken to the last one, what is named where one is wrong,
 * and what is in force between two.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { DEFAULT_LIMITS, type Limits } from '../../../src/contracts/limits.ts'
import {
  CHALLENGE_BYTES,
  compareEpochs,
  decodeHello,
  encodeHello,
  EPOCH_BYTES,
  helloLimits,
  settle,
  type Hello,
  type HelloLimits,
} from '../../../src/core/session/hello.ts'
import { cbor } from '../../helpers/naive-cbor.ts'
import { helloFields, type HelloFields } from '../../helpers/raw-peer.ts'

const limits: HelloLimits = helloLimits(DEFAULT_LIMITS)
const decode = (fields: HelloFields): Hello => decodeHello(cbor(helloFields(fields)))
const own: Hello = {
  versions: [1, 1],
  epoch: new Uint8Array(EPOCH_BYTES).fill(5),
  name: 'own',
  role: 'peer',
  limits,
  protocols: [],
  features: [],
}

/** Refused, with a sentence that says where it is wrong. */
function refused(fields: HelloFields, where: string): void {
  assert.throws(() => decode(fields), { code: 'ERR_HELLO_INVALID', message: `the hello is wrong in ${where}` })
}

describe('decodeHello', () => {
  it('has limits within the documented bounds, to the last value', () => {
    const most = 2 ** 31 - 1
    const bounds: Record<keyof HelloLimits, [min: number, max: number]> = {
      frame: [64, 2 ** 24 - 1],
      window: [1, most],
      inFlight: [1024, most],
      open: [64, 65_535],
      pipes: [1, most],
      waiting: [1, most],
      resetBurst: [1, most],
      resetRate: [1, most],
    }
    for (const [name, [min, max]] of Object.entries(bounds)) {
      for (const value of [min, max])
        assert.deepEqual(decode({ limits: { ...limits, [name]: value } }).limits, { ...limits, [name]: value })
      for (const value of [min - 1, max + 1]) refused({ limits: { ...limits, [name]: value } }, `limits.${name}`)
    }
    refused({ limits: { ...limits, pipes: -1 } }, 'limits.pipes')
    refused({ limits: { ...limits, pipes: 'many' } }, 'limits.pipes')
  })

  it('has an epoch and a challenge of their very lengths, a short name, a known role, and lists of texts', () => {
    for (const [length, right] of [
      [EPOCH_BYTES - 1, false],
      [EPOCH_BYTES, true],
      [EPOCH_BYTES + 1, false],
    ] as const) {
      const epoch = new Uint8Array(length)
      if (right) assert.deepEqual(decode({ epoch }).epoch, epoch)
      else refused({ epoch }, 'epoch')
    }
    for (const [length, right] of [
      [CHALLENGE_BYTES - 1, false],
      [CHALLENGE_BYTES, true],
      [CHALLENGE_BYTES + 1, false],
    ] as const) {
      const challenge = new Uint8Array(length).fill(3)
      if (right) assert.deepEqual(decode({ challenge }).challenge, challenge)
      else refused({ challenge }, 'challenge')
    }
    assert.equal(decode({ name: 'x'.repeat(64) }).name.length, 64)
    refused({ name: 'x'.repeat(65) }, 'name')
    for (const role of ['connect', 'serve', 'peer']) assert.equal(decode({ role }).role, role)
    refused({ role: 'king' }, 'role')
    assert.deepEqual(decode({ protocols: ['a', 'b'], features: ['c'] }).features, ['c'])
    refused({ protocols: [1] }, 'protocols.0')
    refused({ features: ['c', 1] }, 'features.1')
    refused({ limits: 7 }, 'limits')
  })

  it('names its versions before all else', () => {
    for (const versions of [[], [1], [1, 1, 1], [0, 1], [1, 256], ['1', '1'], [1.5, 2], 'one', undefined]) {
      assert.throws(() => decode({ versions }), {
        code: 'ERR_HELLO_INVALID',
        message: 'the hello names no versions',
      })
    }
    assert.deepEqual(decode({ versions: [1, 255] }).versions, [1, 255])
    for (const [versions, said] of [
      [[2, 9], '2 to 9'],
      [[3, 3], '3'],
    ] as const) {
      // in a hello of another version all else may look different
      assert.throws(() => decodeHello(cbor({ versions: [...versions] })), {
        code: 'ERR_VERSION_MISMATCH',
        message: `this side speaks wire version 1, the peer speaks ${said}`,
      })
    }
  })

  it('is refused where it is no structure at all', () => {
    for (const payload of [new Uint8Array(0), Uint8Array.of(0xff), cbor('hello'), cbor([])])
      assert.throws(() => decodeHello(payload), { code: 'ERR_HELLO_INVALID' })
  })
})

describe('encodeHello', () => {
  it('names the protocols as long as their names are few', () => {
    for (const [length, said] of [
      [681, 1],
      [682, 0],
    ] as const) {
      const protocols = ['p'.repeat(length)]
      assert.equal(decodeHello(encodeHello({ ...own, protocols }, 4096)).protocols.length, said)
    }
    // a name costs three bytes by itself: of one letter 341 are named
    for (const [count, said] of [
      [341, 341],
      [342, 0],
    ] as const) {
      const protocols = Array.from({ length: count }, () => 'p')
      assert.equal(decodeHello(encodeHello({ ...own, protocols }, 4096)).protocols.length, said)
    }
  })

  it('says each of the limits by its name', () => {
    const some: Limits = {
      ...DEFAULT_LIMITS,
      maxFrameBytes: 101,
      initialWindowBytes: 102,
      maxInFlightBytes: 1103,
      maxOpenBytes: 104,
      maxPipes: 105,
      maxWaitingPipes: 106,
      resetBurst: 107,
      resetsPerSecond: 108,
    }
    const said = helloLimits(some)
    assert.deepEqual(said, {
      frame: 101,
      window: 102,
      inFlight: 1103,
      open: 104,
      pipes: 105,
      waiting: 106,
      resetBurst: 107,
      resetRate: 108,
    })
    assert.deepEqual(decodeHello(encodeHello({ ...own, limits: said }, 4096)).limits, said)
  })
})

describe('compareEpochs', () => {
  it('are compared as numbers, the first byte first', () => {
    const epoch = (...first: number[]): Uint8Array => Uint8Array.from({ length: EPOCH_BYTES }, (_, i) => first[i] ?? 0)
    assert.equal(compareEpochs(epoch(1, 2), epoch(1, 2)), 0)
    assert.ok(compareEpochs(epoch(2), epoch(1, 255, 255)) > 0)
    assert.ok(compareEpochs(epoch(1, 255), epoch(2)) < 0)
    for (let at = 0; at < EPOCH_BYTES; at++) {
      const larger = epoch()
      larger[at] = 255
      assert.ok(compareEpochs(larger, epoch()) > 0)
      assert.ok(compareEpochs(epoch(), larger) < 0)
    }
  })
})

describe('settle', () => {
  const ofLimits = (of: HelloLimits, epoch = 1): Hello => ({
    ...own,
    epoch: new Uint8Array(EPOCH_BYTES).fill(epoch),
    limits: of,
  })
  const few: HelloLimits = {
    frame: 1000,
    window: 2000,
    inFlight: 3000,
    open: 400,
    pipes: 5,
    waiting: 6,
    resetBurst: 7,
    resetRate: 8,
  }
  const many: HelloLimits = {
    frame: 1001,
    window: 2001,
    inFlight: 3001,
    open: 401,
    pipes: 51,
    waiting: 61,
    resetBurst: 71,
    resetRate: 81,
  }
  const local = {
    ...DEFAULT_LIMITS,
    maxWindowBytes: 9000,
    windowPoolBytes: 10_000,
    orphanTimeoutMs: 11,
    maxRefusals: 12,
  }

  it('is the smaller where both have to keep it, and each side’s own where one does', () => {
    for (const paced of [true, false]) {
      const shared = {
        initialWindowBytes: 2000,
        maxWindowBytes: 9000,
        windowPoolBytes: 10_000,
        maxInFlightBytes: 3000,
        paced,
        maxFrameBytes: 1000,
        maxOpenBytes: 400,
        maxRefusals: 12,
        orphanTimeoutMs: 11,
      }
      const fewFirst = {
        takesOddIds: true,
        maxInbound: 5,
        maxInboundWaiting: 6,
        maxOutbound: 51,
        maxOutboundWaiting: 61,
        resetBurst: 7,
        resetsPerSecond: 8,
        peerResetBurst: 71,
        peerResetsPerSecond: 81,
      }
      const manyFirst = {
        takesOddIds: false,
        maxInbound: 51,
        maxInboundWaiting: 61,
        maxOutbound: 5,
        maxOutboundWaiting: 6,
        resetBurst: 71,
        resetsPerSecond: 81,
        peerResetBurst: 7,
        peerResetsPerSecond: 8,
      }
      assert.deepEqual(settle(ofLimits(few, 2), ofLimits(many, 1), local, 600, paced), {
        ...shared,
        ...fewFirst,
        splitBytes: 600,
      })
      assert.deepEqual(settle(ofLimits(many, 1), ofLimits(few, 2), local, 5000, paced), {
        ...shared,
        ...manyFirst,
        splitBytes: 1000,
      })
    }
  })

  it('is never a window that grows to less than it begins with', () => {
    const settings = settle(ofLimits(many), ofLimits(many, 2), { ...local, maxWindowBytes: 100 }, 600, false)
    assert.equal(settings.maxWindowBytes, 2001)
    assert.equal(settings.initialWindowBytes, 2001)
  })

  it('is that nobody has the odd ids twice where the epochs are the same', () => {
    assert.equal(settle(ofLimits(few), ofLimits(few), local, 600, false).takesOddIds, false)
  })
})
