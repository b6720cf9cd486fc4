/**
 * The transports' conformance suite over real virtio ports. Runs in a guest that has two of them,
 * which the host has joined (in-guest.test.ts): both ends of the line are then in one process, as
 * the suite wants it.
 */
import { randomBytes } from 'node:crypto'
import type { Link, TransportOptions } from '../../src/contracts/types.ts'
import { serial } from '../../transports/serial.ts'
import { transportConformance, type LinkPair } from '../conformance/transport.ts'
import { held } from '../conformance/transport-suite.ts'

const NEAR = 'serial:///dev/virtio-ports/serial'
const FAR = 'serial:///dev/virtio-ports/far'
const MARK_BYTES = 16

async function open(given: TransportOptions): Promise<LinkPair> {
  const [near, far] = await Promise.all([serial(NEAR).connect(given), serial(FAR).connect(given)])
  return { near, far, done: () => Promise.resolve() }
}

/**
 * Two links over a line that is empty: what an earlier pair wrote and did not read is still on its
 * way when a port is opened anew.
 */
async function pair(given: TransportOptions): Promise<LinkPair> {
  const { near, far } = await open(given)
  await Promise.all([passMark(near, far), passMark(far, near)])
  for (const link of [near, far]) {
    link.abort(new Error('it was for the mark'))
    await link.close()
  }
  return await open(given)
}

/** Sends a mark, and drops everything that arrives before it. */
async function passMark(from: Link, to: Link): Promise<void> {
  const mark = randomBytes(MARK_BYTES)
  from.sink(held(only(mark))).catch(() => undefined) // it ends with the abort
  let last = Buffer.alloc(0)
  for await (const bytes of to.source) {
    last = Buffer.concat([last, bytes.subarray()]).subarray(-MARK_BYTES)
    if (last.equals(mark)) return
  }
  throw new Error('the line ended before the mark')
}

async function* only(bytes: Uint8Array): AsyncGenerator<Uint8Array, void, undefined> {
  yield bytes
}

transportConformance('serial, over a virtio port', () => serial('serial:///dev/virtio-ports/none'), {
  pair,
  skip: {
    listen: 'a serial line has one link at a time',
    'half-close': 'a serial line cannot end one side alone',
    'abort is seen': 'a serial line does not tell that its other end is gone',
  },
})
