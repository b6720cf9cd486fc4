/**
 * Links, listeners and transports that break their contracts, one breach each, made of ones that
 * keep them.
 */
import type { Bytes, DirectLink, DirectReceiver, Link, Listener, Transport } from '../../src/index.ts'

/**
 * A breach by a link: what it makes of a good one, and what comes of a session over it; `works`:
 * nothing that anybody notices.
 */
export interface LinkBreach {
  readonly name: string
  readonly make: (good: Link) => unknown
  readonly outcome: string
}

const boom = (): never => {
  throw new Error('boom')
}
const never = (): Promise<never> => new Promise(() => undefined)
const failing = (): Promise<never> => Promise.reject(new Error('boom'))

/** The link without its direct interface. */
function iterable(good: Link, other: object = {}): unknown {
  const { source, sink, peer } = good
  return { source, sink, peer, close: () => good.close(), abort: (error: Error) => good.abort(error), ...other }
}

/** The link with another direct interface. */
function direct(good: Link, other: (face: DirectLink) => object): unknown {
  const face = good.direct as DirectLink
  const own = {
    start: (receiver: DirectReceiver) => face.start(receiver),
    write: (batch: readonly Uint8Array[]) => face.write(batch),
    end: () => face.end(),
  }
  return iterable(good, { direct: { ...own, ...other(face) } })
}

/** The link with a source whose `next` is another. */
function reading(good: Link, next: (count: number, iterator: AsyncIterator<Bytes>) => unknown): unknown {
  return iterable(good, {
    source: {
      [Symbol.asyncIterator]() {
        const iterator = good.source[Symbol.asyncIterator]()
        let count = 0
        return { next: () => next(count++, iterator), return: () => iterator.return?.() }
      },
    },
  })
}

/** Calls `use` with the receiver behind the first chunk. */
function afterFirst(good: Link, use: (receiver: DirectReceiver) => void): unknown {
  return direct(good, (face) => ({
    start: (receiver: DirectReceiver) => {
      let used = false
      face.start({
        data: (chunk) => {
          receiver.data(chunk)
          if (!used) use(receiver)
          used = true
        },
        end: () => receiver.end(),
        fail: (error) => receiver.fail(error),
        drain: () => receiver.drain(),
      })
    },
  }))
}

const broken = 'ERR_LINK_FAILED'

/** Each way in which a link may break its contract. */
export const LINK_BREACHES: readonly LinkBreach[] = [
  // its source
  {
    name: 'a source that throws at once',
    make: (good) => iterable(good, { source: { [Symbol.asyncIterator]: boom } }),
    outcome: broken,
  },
  {
    name: 'a source without an iterator',
    make: (good) => iterable(good, { source: { [Symbol.asyncIterator]: () => undefined } }),
    outcome: broken,
  },
  { name: 'a next that throws', make: (good) => reading(good, boom), outcome: broken },
  { name: 'a next that rejects', make: (good) => reading(good, failing), outcome: broken },
  { name: 'a next that gives nothing', make: (good) => reading(good, () => undefined), outcome: broken },
  {
    name: 'a chunk of text',
    make: (good) => reading(good, () => Promise.resolve({ done: false, value: 'text' })),
    outcome: broken,
  },
  {
    name: 'a chunk that is null',
    make: (good) => reading(good, () => Promise.resolve({ done: false, value: null })),
    outcome: broken,
  },
  { name: 'a next that never settles', make: (good) => reading(good, never), outcome: 'ERR_HELLO_TIMEOUT' },
  {
    name: 'a source that fails behind the hello',
    make: (good) => reading(good, (count, iterator) => (count < 2 ? iterator.next() : failing())),
    outcome: broken,
  },
  {
    name: 'a source whose return throws',
    make: (good) =>
      iterable(good, {
        source: {
          [Symbol.asyncIterator]: () => ({
            next: (
              (it) => () =>
                it.next()
            )(good.source[Symbol.asyncIterator]()),
            return: boom,
          }),
        },
      }),
    outcome: 'works',
  },
  // its sink
  { name: 'a sink that throws', make: (good) => iterable(good, { sink: boom }), outcome: broken },
  { name: 'a sink that rejects', make: (good) => iterable(good, { sink: failing }), outcome: broken },
  { name: 'a sink that gives nothing', make: (good) => iterable(good, { sink: () => undefined }), outcome: broken },
  {
    name: 'a sink that asks for nothing',
    make: (good) => iterable(good, { sink: never }),
    outcome: 'ERR_WRITE_STALLED|ERR_HELLO_TIMEOUT',
  },
  // its direct interface
  { name: 'a start that throws', make: (good) => direct(good, () => ({ start: boom })), outcome: broken },
  { name: 'a write that throws', make: (good) => direct(good, () => ({ write: boom })), outcome: broken },
  {
    name: 'a write that is asynchronous',
    make: (good) =>
      direct(good, (face) => ({ write: (batch: readonly Uint8Array[]) => Promise.resolve(face.write(batch)) })),
    outcome: broken,
  },
  {
    name: 'a write that gives nothing',
    make: (good) => direct(good, () => ({ write: () => undefined })),
    outcome: broken,
  },
  {
    name: 'a write whose drain never comes',
    make: (good) => direct(good, () => ({ write: () => false })),
    outcome: 'ERR_WRITE_STALLED|ERR_HELLO_TIMEOUT',
  },
  {
    name: 'a write that drains before it says that there is need to',
    make: (good) => {
      let told: DirectReceiver | undefined
      return direct(good, (face) => ({
        start(receiver: DirectReceiver) {
          told = receiver
          face.start({
            data: (chunk) => receiver.data(chunk),
            end: () => receiver.end(),
            fail: (error) => receiver.fail(error),
            drain: () => undefined,
          })
        },
        write(batch: readonly Uint8Array[]) {
          face.write(batch)
          told?.drain()
          return false
        },
      }))
    },
    outcome: 'works',
  },
  {
    name: 'an end that throws',
    make: (good) => direct(good, () => ({ end: boom })),
    outcome: 'works|ERR_LINK_FAILED|ERR_LINK_LOST',
  },
  {
    name: 'a direct chunk of text',
    make: (good) => afterFirst(good, (receiver) => receiver.data('text' as never)),
    outcome: broken,
  },
  {
    name: 'a direct chunk that is missing',
    make: (good) => afterFirst(good, (receiver) => receiver.data(undefined as never)),
    outcome: broken,
  },
  {
    name: 'a failure that is text',
    make: (good) => afterFirst(good, (receiver) => receiver.fail('text' as never)),
    outcome: broken,
  },
  {
    name: 'a failure that is missing',
    make: (good) => afterFirst(good, (receiver) => receiver.fail(undefined as never)),
    outcome: broken,
  },
  {
    name: 'a failure told twice, with a chunk and an end behind it',
    make: (good) =>
      afterFirst(good, (receiver) => {
        receiver.fail(new Error('one'))
        receiver.fail(new Error('two'))
        receiver.data(Uint8Array.of(1, 2, 3))
        receiver.end()
      }),
    outcome: broken,
  },
  {
    name: 'drains that nothing waits for',
    make: (good) =>
      afterFirst(good, (receiver) => {
        receiver.drain()
        receiver.drain()
      }),
    outcome: 'works',
  },
  {
    name: 'a release that throws',
    make: (good) => direct(good, () => ({ release: boom })),
    outcome: 'works|ERR_LINK_FAILED',
  },
  // its end
  { name: 'a close that throws', make: (good) => iterable(good, { close: boom }), outcome: 'works' },
  { name: 'a close that rejects', make: (good) => iterable(good, { close: failing }), outcome: 'works' },
  { name: 'a close that never settles', make: (good) => iterable(good, { close: never }), outcome: 'works' },
  { name: 'a close that gives nothing', make: (good) => iterable(good, { close: () => undefined }), outcome: 'works' },
  {
    name: 'a source that fails, and an abort that throws',
    make: (good) => {
      const link = reading(good, failing) as Record<string, unknown>
      return {
        ...link,
        abort: (error: Error) => {
          good.abort(error)
          boom()
        },
      }
    },
    outcome: broken,
  },
  {
    name: 'a close that never settles, and an abort that throws',
    make: (good) =>
      iterable(good, {
        close: never,
        abort: (error: Error) => {
          good.abort(error)
          boom()
        },
      }),
    outcome: 'works',
  },
  // its members
  { name: 'a peer that is no text', make: (good) => iterable(good, { peer: 7 }), outcome: 'works' },
  {
    name: 'a peer that throws',
    make: (good) => Object.defineProperty(iterable(good) as object, 'peer', { get: boom }),
    outcome: 'none',
  },
  {
    name: 'a direct interface that throws when it is read',
    make: (good) => Object.defineProperty(iterable(good) as object, 'direct', { get: boom }),
    outcome: 'none',
  },
  {
    name: 'a direct interface without write',
    make: (good) => direct(good, () => ({ write: undefined })),
    outcome: 'none',
  },
  { name: 'no source', make: (good) => iterable(good, { source: undefined }), outcome: 'none' },
  { name: 'no close', make: (good) => iterable(good, { close: undefined }), outcome: 'none' },
  {
    name: 'no object',
    make: (good) => {
      good.abort(new Error('not used'))
      return 7
    },
    outcome: 'none',
  },
]

/** A breach by a transport's `connect` or `listen`, and the code that its caller gets. */
export interface CallBreach {
  readonly name: string
  readonly call: () => unknown
  readonly outcome: string
}

/** Each way in which `connect` or `listen` may break the contract. */
export const CALL_BREACHES: readonly CallBreach[] = [
  { name: 'throws', call: boom, outcome: 'ERR_LINK_FAILED' },
  { name: 'rejects without a code', call: failing, outcome: 'ERR_LINK_FAILED' },
  // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- that is the breach
  { name: 'rejects with nothing', call: () => Promise.reject(), outcome: 'ERR_LINK_FAILED' },
  { name: 'never settles', call: never, outcome: 'ERR_CONNECT_TIMEOUT' },
  { name: 'gives nothing', call: () => undefined, outcome: 'ERR_LINK_FAILED' },
  { name: 'gives text', call: () => Promise.resolve('text'), outcome: 'ERR_LINK_FAILED' },
]

/** A transport whose calls are these. */
export function transportOf(calls: { connect?: unknown; listen?: unknown; connected?: boolean }): Transport {
  const { connect = never, listen = never, connected = true } = calls
  return {
    scheme: 'foreign',
    address: 'foreign:here',
    traits: { lossless: true, connected, preferredFrameBytes: 65_536 },
    connect: connect as Transport['connect'],
    listen: listen as Transport['listen'],
  }
}

/** A listener that gives what it is fed. */
export class FedListener implements Listener {
  readonly address = 'foreign:here'
  readonly #items: unknown[] = []
  #wake: (() => void) | undefined
  #over = false

  feed(item: unknown): void {
    this.#items.push(item)
    this.#wake?.()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Link, void, undefined> {
    for (;;) {
      const item = this.#items.shift()
      if (item !== undefined) yield item as Link
      else if (this.#over) return
      else await new Promise<void>((resolve) => (this.#wake = resolve))
    }
  }

  close(): Promise<void> {
    this.#over = true
    this.#wake?.()
    return Promise.resolve()
  }
}
