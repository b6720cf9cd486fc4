/**
 * What every transport keeps, as a suite that runs against any of them; exported as
 * `trunkline/testing` for authors of transports:
 *
 *     transportConformance('mine', (address) => mine(address ?? 'mine://127.0.0.1:0'))
 *
 * The factory is called without an address for a transport that listens at a fresh place, and with
 * the listener's address for one that dials it. A line that cannot listen gives `pair` instead. A
 * point that a line cannot have is skipped with its reason, which is printed.
 */
import { describe } from 'node:test'
import assert from 'node:assert/strict'
import type { Bytes, Transport } from '../../src/contracts/types.ts'
import { steady } from '../helpers/eventually.ts'
import { directEnd, readAll, readBytes, reusedChunks, seededBytes } from '../helpers/link-traffic.ts'
import { dialPoints, listenPoints } from './transport-dialling.ts'
import { sessionPoints } from './transport-session.ts'
import type { ConformanceOptions, Suite } from './transport-suite.ts'
import {
  coded,
  endless,
  halfCloses,
  held,
  MIB,
  of,
  point,
  sameBytes,
  SHORT_CLOSE_MS,
  waiting,
  withPair,
} from './transport-suite.ts'

export type { ConformanceOptions, ConformancePoint, LinkPair } from './transport-suite.ts'

/** Sent each way at once: more than every buffer on the way. */
const BULK_BYTES = 10 * MIB

/**
 * Declares the suite.
 *
 * @example
 * ```ts
 * let port = 0
 * transportConformance('mine', (address) => mine(address ?? `mine://127.0.0.1:${port}`))
 * ```
 */
export function transportConformance(
  name: string,
  factory: (address?: string) => Transport,
  options: ConformanceOptions = {},
): void {
  const suite: Suite = { factory, options, withPair: (use, limits) => withPair(suite, use, limits) }
  describe(`transport conformance: ${name}`, () => {
    bytePoints(suite)
    pressurePoints(suite)
    endPoints(suite)
    abortPoints(suite)
    directPoints(suite)
    sessionPoints(suite)
    listenPoints(suite)
    dialPoints(suite)
  })
}

function bytePoints(suite: Suite): void {
  point(suite, undefined, 'passes every byte and every pair of bytes, both ways [R-120]', () =>
    suite.withPair(async (near, far) => {
      const pairs = Buffer.alloc(2 * 65_536)
      for (let value = 0; value < 65_536; value++) pairs.writeUInt16BE(value, 2 * value)
      // the point ends with an abort
      for (const link of [near, far]) link.sink(held(of(pairs))).catch(() => undefined)
      const [there, back] = await Promise.all([readBytes(far, pairs.length), readBytes(near, pairs.length)])
      sameBytes(there, pairs, 'near to far')
      sameBytes(back, pairs, 'far to near')
    }),
  )

  point(
    suite,
    undefined,
    'passes 10 MiB both ways at once in chunks of any size, from buffers that are reused [R-015]',
    () =>
      suite.withPair(async (near, far) => {
        const [out, back] = [seededBytes(1, BULK_BYTES), seededBytes(2, BULK_BYTES)]
        near.sink(held(reusedChunks(out, 3))).catch(() => undefined) // the point ends with an abort
        far.sink(held(reusedChunks(back, 4))).catch(() => undefined)
        const [atFar, atNear] = await Promise.all([readBytes(far, BULK_BYTES), readBytes(near, BULK_BYTES)])
        sameBytes(atFar, out, 'near to far')
        sameBytes(atNear, back, 'far to near')
      }),
  )

  point(suite, undefined, 'never changes a chunk that it gave out', () =>
    suite.withPair(async (near, far) => {
      const bytes = seededBytes(5, MIB)
      const given: Uint8Array[] = []
      const copies: Buffer[] = []
      near.sink(held(reusedChunks(bytes, 6))).catch(() => undefined) // the point ends with an abort
      let length = 0
      for await (const chunk of far.source) {
        const whole = chunk instanceof Uint8Array ? chunk : chunk.subarray()
        given.push(whole)
        copies.push(Buffer.from(whole))
        length += whole.byteLength
        if (length === bytes.byteLength) break
      }
      sameBytes(Buffer.concat(given), Buffer.concat(copies), 'later')
      sameBytes(Buffer.concat(given), bytes, 'sent')
    }),
  )
}

function pressurePoints(suite: Suite): void {
  point(
    suite,
    'unread bytes',
    'stops a writer whose peer does not read, in bounded memory, and lets it go on [R-125]',
    () =>
      suite.withPair(async (near, far) => {
        const most = suite.options.maxUnreadBytes ?? 48 * MIB
        const chunk = seededBytes(20, 64 * 1024)
        let asked = 0
        const held = process.memoryUsage().arrayBuffers
        const counted = async function* () {
          while (asked < 8 * most) {
            asked += chunk.byteLength
            yield chunk
          }
        }
        near.sink(counted()).catch(() => undefined) // the point ends with an abort
        let read = 0
        const reader = far.source[Symbol.asyncIterator]()
        const readTo = async (length: number): Promise<void> => {
          while (read < length) {
            const { value } = (await reader.next()) as { value: Bytes | undefined }
            assert.ok(value !== undefined, 'the source goes on')
            for (const byte of value.subarray()) {
              if (byte !== chunk[read++ % chunk.byteLength]) assert.fail(`byte ${read - 1} is another`)
            }
          }
        }
        // Before the first read, and again after a reader that has begun pauses.
        const some = Math.min(most, 16 * MIB)
        for (const length of [1, some / 4, some / 2]) {
          const stopped = await steady(() => asked)
          assert.ok(stopped - read < most, `the writer went on for ${stopped - read} bytes`)
          const grown = process.memoryUsage().arrayBuffers - held
          assert.ok(grown < 8 * MIB, `${grown} bytes are held in this process`)
          await readTo(length)
        }
        await readTo(asked + 1)
      }),
  )
}

function endPoints(suite: Suite): void {
  for (const [title, swap] of [
    ['dialled', false],
    ['accepted', true],
  ] as const) {
    point(suite, 'half-close', `lets the peer go on writing after the ${title} side has ended [R-030]`, () =>
      suite.withPair(async (near, far) => {
        const [first, second] = swap ? [far, near] : [near, far]
        const answer = seededBytes(7, MIB)
        await first.sink(of(Buffer.from('a request')))
        assert.equal((await readAll(second)).toString(), 'a request')
        const [read] = await Promise.all([readAll(first), second.sink(of(answer))])
        sameBytes(read, answer, 'the answer')
      }),
    )
  }

  point(suite, 'half-close', 'closes after what was written has left, once and for all [R-031]', () =>
    suite.withPair(async (near, far) => {
      const bytes = seededBytes(8, MIB)
      const reading = readAll(far)
      await near.sink(of(bytes))
      const closing = Promise.all([near.close(), near.close()])
      sameBytes(await reading, bytes, 'what was written')
      await Promise.all([closing, far.close(), far.close()])
      near.abort(new Error('late'))
      await near.close()
    }),
  )

  point(suite, undefined, 'settles a close whose peer neither reads nor ends, in time [R-039]', () =>
    suite.withPair(
      async (near, far) => {
        const stop = new AbortController()
        const sending = near.sink(waiting(stop.signal))
        const reading = readAll(near)
        const outcomes = Promise.allSettled([sending, reading])
        const started = performance.now()
        await near.close()
        assert.ok(performance.now() - started < SHORT_CLOSE_MS + 1_000, 'close took too long')
        stop.abort()
        for (const outcome of await outcomes) {
          assert.ok(outcome.status === 'rejected' && coded(outcome.reason), 'who waits is told, with a code')
        }
        // The line is cut by then, and not only ended: who writes to it is told.
        if (suite.options.skip?.['abort is seen'] === undefined) await assert.rejects(far.sink(endless()), coded)
      },
      { closeTimeoutMs: SHORT_CLOSE_MS },
    ),
  )

  point(suite, undefined, 'can be read once, written once, and through one interface only [R-046]', () =>
    suite.withPair(async (near) => {
      const reading = near.source[Symbol.asyncIterator]()
      assert.throws(() => near.source[Symbol.asyncIterator](), { code: 'ERR_BAD_ARGUMENT' })
      const sending = near.sink(waiting(new AbortController().signal))
      sending.catch(() => undefined) // the point ends with an abort
      await assert.rejects(near.sink(of()), { code: 'ERR_BAD_ARGUMENT' })
      const receiver = { data: () => undefined, end: () => undefined, fail: () => undefined, drain: () => undefined }
      if (near.direct !== undefined) assert.throws(() => near.direct?.start(receiver), { code: 'ERR_BAD_ARGUMENT' })
      await reading.return?.()
    }),
  )
}

function abortPoints(suite: Suite): void {
  point(suite, undefined, 'aborts at once: who reads and who writes is told, again and again is harmless', () =>
    suite.withPair(async (near) => {
      let returned = false
      const stuck: AsyncIterable<Uint8Array> = {
        [Symbol.asyncIterator]: () => ({
          next: () => new Promise(() => undefined),
          return() {
            returned = true
            return Promise.resolve({ done: true, value: undefined })
          },
        }),
      }
      const outcomes = Promise.allSettled([near.sink(stuck), readAll(near)])
      const reason = new Error('enough')
      near.abort(reason)
      near.abort(new Error('again'))
      await near.close()
      for (const outcome of await outcomes) {
        assert.ok(outcome.status === 'rejected' && coded(outcome.reason), 'with a code')
        assert.equal((outcome.reason as Error).cause, reason)
      }
      assert.ok(returned, 'the source that was being written is told')
    }),
  )

  point(
    suite,
    'abort is seen',
    'tells the peer of an abort: its reading ends or fails with a code, and so does its writing',
    () =>
      suite.withPair(async (near, far) => {
        const writing = far.sink(endless())
        const outcomes = Promise.allSettled([writing, readAll(far)])
        near.abort(new Error('enough'))
        const [written, read] = await outcomes
        assert.ok(written.status === 'rejected' && coded(written.reason), 'writing to nobody fails with a code')
        assert.ok(read.status === 'fulfilled' || coded(read.reason), 'reading fails with a code')
      }),
  )

  point(suite, undefined, 'fails with the cause when what is written breaks off [R-126]', () =>
    suite.withPair(async (near, far) => {
      const broken = new Error('the disk is gone')
      const reading = readAll(far).catch((error: unknown) => error)
      const writing = near.sink(
        (async function* () {
          yield new Uint8Array(10)
          throw broken
        })(),
      )
      await assert.rejects(writing, (error: Error) => coded(error) && error.cause === broken)
      await assert.rejects(readAll(near), coded)
      // where the peer is not told, it reads until the point is over
      if (suite.options.skip?.['abort is seen'] === undefined) await reading
    }),
  )
}

function directPoints(suite: Suite): void {
  point(
    suite,
    'direct',
    'passes 10 MiB both ways at once through direct calls, from buffers that are free after drain',
    () =>
      suite.withPair(async (near, far) => {
        const [out, back] = [seededBytes(9, BULK_BYTES), seededBytes(10, BULK_BYTES)]
        assert.ok(near.direct !== undefined && far.direct !== undefined, 'both ends have the direct interface')
        const [a, b] = [directEnd(near.direct), directEnd(far.direct)]
        const over = halfCloses(suite) ? [a.ended, b.ended] : [a.arrived(BULK_BYTES), b.arrived(BULK_BYTES)]
        await Promise.all([a.write(out, 11), b.write(back, 12), ...over])
        sameBytes(Buffer.concat(b.received), out, 'near to far')
        sameBytes(Buffer.concat(a.received), back, 'far to near')
      }),
  )

  point(suite, 'direct', 'joins a direct end and an iterated one', () =>
    suite.withPair(async (near, far) => {
      const bytes = seededBytes(13, MIB)
      assert.ok(near.direct !== undefined, 'the dialled end has the direct interface')
      const end = directEnd(near.direct)
      const reading = halfCloses(suite) ? readAll(far) : readBytes(far, MIB)
      const [read] = await Promise.all([reading, end.write(bytes, 14)])
      sameBytes(read, bytes, 'direct to iterated')
      await Promise.all([far.sink(of(bytes)), halfCloses(suite) ? end.ended : end.arrived(MIB)])
      sameBytes(Buffer.concat(end.received), bytes, 'iterated to direct')
    }),
  )

  point(suite, 'direct', 'says nothing more to a direct receiver after close or abort', () =>
    suite.withPair(async (near, far) => {
      assert.ok(near.direct !== undefined, 'the dialled end has the direct interface')
      let calls = 0
      const count = (): void => {
        calls++
      }
      near.direct.start({ data: count, end: count, fail: count, drain: count })
      near.abort(new Error('enough'))
      await Promise.allSettled([far.sink(of(new Uint8Array(10))), near.close()])
      assert.equal(near.direct.write([new Uint8Array(10)]), false)
      assert.equal(calls, 0)
    }),
  )
}
