/**
 * The floods: what is sent, what it may cost, and how the session ends. The numbers of codes are
 * those of docs/reference/wire-format.md, "Codes".
 */
import assert from 'node:assert/strict'
import { frameRun, u64 } from '../helpers/frame-run.ts'
import { cbor } from '../helpers/naive-cbor.ts'
import { concat, decodeStatus, encodeStatus, frame, TYPE, type WireFrame } from '../helpers/naive-codec.ts'
import type { Flood } from './arena.ts'
import { BAD_HEADS, HOSTILE_NAMES } from './hostile-values.ts'

const FRAME_TOO_LARGE = 25
const VIOLATION = 26
const WINDOW_EXCEEDED = 27
const RESET_FLOOD = 28
const REFUSAL_FLOOD = 29
const PROTOCOL_UNKNOWN = 73

const KIB = 1024
/** What lies between our muxer and the kernel at most, whatever the peer does. */
const BATCH = 256 * KIB
const WINDOW = 64 * KIB
/** As many pipes as the limits allow, each with a first frame as large as they allow. */
const OPENS = 1024 * 4 * KIB

const openOf = (protocol: string): Uint8Array => cbor({ protocol })
const HOLD = openOf('hold')
const RESET = encodeStatus({ number: 64, name: '', sentence: '' })
const ONE = Uint8Array.of(1)
const NOTHING = new Uint8Array(0)

/** More than twice the burst takes, tokens that come back meanwhile included. */
const MAX_BURSTS = 100

/** One of a list after the other, over and over. */
const turn = <T>(list: readonly T[], i: number): T => list[i % list.length] as T

/** A flood of one frame, over and over. */
const again = (count: number, one: WireFrame): Uint8Array => frameRun(count, () => one)

/** Session frames and pipe frames that say too much in their header. */
const KNOWN_TYPES = Object.values(TYPE)
const UNKNOWN_TYPES = [0x00, 0x08, 0x0f, 0x19, 0x1f, 0x20, 0x3f]

export const FLOODS: readonly Flood[] = [
  {
    title: 'R-200: opens above the limit, hundreds at a time: 100 are refused, the next ends the session',
    limits: { maxPipes: 50 },
    accounted: 50 * 4 * KIB,
    ends: REFUSAL_FLOOD,
    async attack({ peer, id }) {
      await peer.send(frameRun(500, () => frame(TYPE.OPEN, id(), HOLD)))
    },
    check: ({ handlers, pipes }) => {
      assert.ok(handlers > 0)
      assert.ok(pipes <= 1, `${pipes} pipes are left`)
    },
  },
  {
    title: 'R-201: opens that nobody answers: those above the backlog are refused, then the session ends',
    accounted: 64 * 4 * KIB,
    ends: REFUSAL_FLOOD,
    async attack({ peer, id }) {
      await peer.send(frameRun(500, () => frame(TYPE.OPEN, id(), openOf('silent'))))
    },
  },
  {
    title: 'R-202: opens without a first frame are refused one by one while their answers are read',
    accounted: OPENS,
    async attack({ peer, id }) {
      await peer.send(frameRun(500, () => frame(TYPE.OPEN, id())))
      await peer.sync()
    },
    check: ({ states }) => assert.ok(!states.includes('closed')),
  },
  {
    title: 'R-203: opens without a first frame whose refusals are not taken end the session',
    accounted: OPENS,
    ends: REFUSAL_FLOOD,
    async attack({ peer, id }) {
      peer.stall()
      for (let i = 0; i < 40; i++) await peer.send(frameRun(1000, () => frame(TYPE.OPEN, id())))
      peer.resume()
    },
  },
  {
    title: 'R-204: open and reset, over and over, of pipes with a handler',
    accounted: OPENS,
    ends: RESET_FLOOD,
    async attack({ peer, id }) {
      for (let i = 0; i < MAX_BURSTS && peer.count('BYE') === 0; i++) {
        let pipe = 0
        await peer.send(
          frameRun(400, (at) => {
            if (at % 2 === 0) pipe = id()
            return at % 2 === 0 ? frame(TYPE.OPEN, pipe, HOLD) : frame(TYPE.RESET, pipe, RESET)
          }),
        )
        // its slots are free again: what ends it is the bucket alone
        await peer.sync().catch(() => undefined)
      }
    },
  },
  {
    title: 'R-205: open and reset, over and over, of pipes that were refused',
    accounted: OPENS,
    ends: RESET_FLOOD,
    async attack({ peer, id }) {
      const open = openOf('nobody')
      for (let i = 0; i < MAX_BURSTS && peer.count('BYE') === 0; i++) {
        // refusals that are not taken would end it by another rule
        await peer.sync().catch(() => undefined)
        let pipe = 0
        await peer.send(
          frameRun(200, (at) => {
            if (at % 2 === 0) pipe = id()
            return at % 2 === 0 ? frame(TYPE.OPEN, pipe, open) : frame(TYPE.RESET, pipe, RESET)
          }),
        )
      }
    },
  },
  {
    title: 'R-206: opens whose handler always fails make us reset, no faster than the bucket allows',
    accounted: (1000 + 1024) * KIB,
    ends: REFUSAL_FLOOD,
    async attack({ peer, id }) {
      const open = openOf('fail')
      for (let i = 0; i < 60; i++) await peer.send(frameRun(50, () => frame(TYPE.OPEN, id(), open)))
    },
  },
  {
    title: 'R-207: pings while our output is stalled',
    accounted: BATCH,
    prepare: ({ peer }) => {
      peer.stall()
      return Promise.resolve()
    },
    async attack({ peer, round }) {
      await peer.send(frameRun(20_000, (i) => frame(TYPE.PING, 0, concat(u64(round * 20_000 + i), u64(0)))))
    },
    finish: ({ peer }) => {
      peer.resume()
      return Promise.resolve()
    },
  },
  {
    title: 'R-208: pongs that nobody asked for',
    accounted: 0,
    async attack({ peer }) {
      await peer.send(again(20_000, frame(TYPE.PONG, 0, new Uint8Array(24).fill(255))))
    },
    check: ({ counters }) => assert.ok(counters.some(({ strayPongs }) => strayPongs > 20_000)),
  },
  {
    title: 'R-209: a million credits of one byte each',
    accounted: 0,
    minRounds: 50,
    async prepare({ peer, id }) {
      await peer.send(frame(TYPE.OPEN, id(), HOLD))
      await peer.expect('ACCEPT')
    },
    async attack({ peer, round }) {
      await peer.send(frameRun(20_000, (i) => frame(TYPE.CREDIT, 1, u64(WINDOW + round * 20_000 + i + 1))))
    },
  },
  {
    title: 'R-210: the same credit, and the same count of parsed bytes, over and over',
    accounted: 0,
    async prepare({ peer, id }) {
      await peer.send(frame(TYPE.OPEN, id(), HOLD))
      await peer.expect('ACCEPT')
    },
    async attack({ peer }) {
      await peer.send(again(10_000, frame(TYPE.CREDIT, 1, u64(0))), again(10_000, frame(TYPE.PARSED, 0, u64(0))))
    },
  },
  {
    title: 'R-211: data frames without data',
    accounted: 0,
    ends: VIOLATION,
    async attack({ peer, id }) {
      await peer.send(frame(TYPE.OPEN, id(), HOLD), again(10_000, frame(TYPE.DATA, 1)))
    },
  },
  {
    title: 'R-212: windows filled with frames of one byte, and one byte beyond',
    accounted: 16 * WINDOW,
    ends: WINDOW_EXCEEDED,
    async attack({ peer, id, measure }) {
      const pipes = Array.from({ length: 16 }, id)
      for (const pipe of pipes) await peer.send(frame(TYPE.OPEN, pipe, HOLD))
      for (let i = 0; i < 16; i++) {
        for (const pipe of pipes) await peer.send(again(WINDOW / 16, frame(TYPE.DATA, pipe, ONE)))
        await peer.sync()
      }
      await measure()
      await peer.send(frame(TYPE.DATA, pipes[3], ONE))
    },
  },
  {
    title: 'R-213: data for pipes that were never opened, a whole frame of it',
    accounted: 0,
    ends: VIOLATION,
    async attack({ peer, round }) {
      const declared = frame(TYPE.DATA, 2 * round + 1, new Uint8Array(256 * KIB))
      await peer.send(frameRun(4, () => declared))
    },
  },
  {
    title: 'R-214: late frames for pipes that are over',
    accounted: 0,
    async prepare({ peer, id }) {
      await peer.send(frame(TYPE.OPEN, id(), openOf('nobody')))
      await peer.expect('REFUSE')
    },
    async attack({ peer }) {
      const late = [
        frame(TYPE.DATA, 1, new Uint8Array(100)),
        frame(TYPE.CREDIT, 1, u64(2 ** 40)),
        frame(TYPE.END, 1, u64(7)),
        frame(TYPE.DONE, 1),
        frame(TYPE.STOP, 1, RESET),
      ]
      await peer.send(frameRun(20_000, (i) => turn(late, i)))
    },
  },
  {
    title: 'R-215: frames that declare 16 MiB, of every type',
    accounted: 0,
    ends: FRAME_TOO_LARGE,
    async attack({ peer, round }) {
      const type = [...KNOWN_TYPES, 0x40, 0x7f][round % (KNOWN_TYPES.length + 2)]!
      await peer.send(Uint8Array.of(type, 255, 255, 255, 0, 0, 0, 1, 0), new Uint8Array(200_000))
    },
  },
  {
    title: 'R-216: frames of unknown types, above and below the edge',
    accounted: 0,
    ends: VIOLATION,
    async attack({ peer, round }) {
      const types = [...UNKNOWN_TYPES, 0x80, 0xf4, 0xff]
      await peer.send(again(1000, frame(turn(types, round), round % 2, ONE)))
    },
  },
  {
    title: 'R-217: frames with flags that mean nothing, of every type',
    accounted: 0,
    ends: VIOLATION,
    async prepare({ peer, id }) {
      await peer.send(frame(TYPE.OPEN, id(), HOLD))
    },
    async attack({ peer, round }) {
      const type = turn(KNOWN_TYPES, round)
      const flags = [0x02, 0x40, 0x7f, 0x80, 0xff][round % 5]!
      await peer.send(frame(type, type < 0x10 ? 0 : 1, RESET, flags))
    },
  },
  {
    title: 'R-218: optional frames, empty, small and large',
    accounted: 0,
    async attack({ peer }) {
      const large = new Uint8Array(200_000)
      await peer.send(
        again(10_000, frame(0x40, 5, NOTHING, 9)),
        again(5_000, frame(0x7f, 0, ONE)),
        frame(0x41, 2 ** 32 - 1, large),
      )
    },
  },
  {
    title: 'R-219: the hello once more, in the middle of the session',
    accounted: 0,
    ends: VIOLATION,
    async attack({ peer, round }) {
      const once = frame(round % 2 === 0 ? TYPE.HELLO : TYPE.READY, 0, round % 2 === 0 ? peer.ownHello : cbor({}))
      await peer.send(again(1000, once))
    },
  },
  {
    title: 'R-220: the sync word and the hello once more, in the middle of the session',
    accounted: 0,
    // the sync word's bytes are no header: the length that they spell is judged first
    ends: FRAME_TOO_LARGE,
    async attack({ peer }) {
      await peer.send(
        Uint8Array.of(0xf4, 0x9b, 0xd1, 0xa6, 0xe8, 0xb3, 0xc5, 0x97),
        frame(TYPE.HELLO, 0, peer.ownHello),
      )
    },
  },
  {
    title: 'R-221: protocols, versions and parameters with the names of every object',
    accounted: OPENS,
    async attack({ peer, id }) {
      const heads = HOSTILE_NAMES.flatMap((name) => [
        openOf(name),
        cbor({ protocol: 'nobody', params: { [name]: { polluted: 1 } } }),
        cbor({ protocol: 'nobody', [name]: { polluted: 1 } }),
      ])
      const first = peer.count('REFUSE')
      await peer.send(frameRun(heads.length, (i) => frame(TYPE.OPEN, id(), heads[i])))
      await peer.sync()
      const refusals = peer.received.filter(({ type }) => type === TYPE.REFUSE).slice(first)
      assert.equal(refusals.length, heads.length)
      for (const { payload } of refusals) assert.equal(decodeStatus(payload).number, PROTOCOL_UNKNOWN)
    },
  },
  {
    title: 'R-222: first frames that are no CBOR, or CBOR that nobody may send',
    accounted: OPENS,
    async attack({ peer, id }) {
      const first = peer.count('REFUSE')
      const count = 4 * BAD_HEADS.length
      await peer.send(frameRun(count, (i) => frame(TYPE.OPEN, id(), turn(BAD_HEADS, i))))
      await peer.sync()
      assert.equal(peer.count('REFUSE') - first, count)
      assert.equal(peer.count('ACCEPT'), 0)
    },
  },
  {
    title: 'R-223: that it closes, over and over',
    accounted: 0,
    async attack({ peer }) {
      await peer.send(again(20_000, frame(TYPE.CLOSING)))
    },
  },
  {
    title: 'R-224: both answers, and twice, to what we open',
    only: 'connect',
    accounted: 0,
    ends: VIOLATION,
    async attack({ peer, opens, round }) {
      const opening = opens('hold').catch((error: unknown) => String(error))
      const { pipe } = await peer.expect('OPEN')
      const answers = [
        [frame(TYPE.ACCEPT, pipe), frame(TYPE.ACCEPT, pipe)],
        [frame(TYPE.ACCEPT, pipe), frame(TYPE.REFUSE, pipe, RESET)],
        [frame(TYPE.DATA, pipe, ONE)],
        [frame(TYPE.END, pipe, u64(0))],
        [frame(TYPE.DONE, pipe)],
        [frame(TYPE.ACCEPT, pipe + 2)],
        [frame(TYPE.ACCEPT, pipe, new Uint8Array(5000))],
        [frame(TYPE.OPEN, pipe + 2, HOLD)],
      ]
      await peer.send(...turn(answers, round))
      await peer.ended
      await opening
    },
  },
  {
    title: 'R-225: replies that are no CBOR end the pipe alone, and no reply is kept',
    only: 'connect',
    accounted: 20 * 4 * KIB,
    async attack({ peer, opens, round }) {
      const opening = Array.from({ length: 20 }, () => opens('hold'))
      const replies = [Uint8Array.of(0xff), new Uint8Array(4096).fill(0x81), Uint8Array.of(0xbb, 255, 255, 255, 255)]
      for (const open of opening.keys()) {
        const { pipe } = await peer.expect('OPEN')
        await peer.send(frame(TYPE.ACCEPT, pipe, turn(replies, open + round)))
        await peer.expect('RESET', pipe)
        await peer.send(frame(TYPE.DONE, pipe))
      }
      for (const outcome of await Promise.all(opening)) assert.equal(outcome, 'ERR_MESSAGE_INVALID')
    },
  },
]
