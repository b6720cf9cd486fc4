/**
 * What a monitor wants to hear before it joins a socket to its guest: `CONNECT PORT`, answered by
 * `OK NUMBER` when somebody in the guest has accepted, and by nothing but hanging up when nobody
 * has.
 *
 * Promises: what follows the answer belongs to whoever reads next, also where it came in the same
 * chunk; a failure destroys the socket with the reason. Bounds: an answer of 32 bytes.
 */
import type { Socket } from 'node:net'
import { TrunkError } from '../../src/contracts/errors.ts'
import type { PooledReader } from '../internal/pooled-reader.ts'

/** Emitted by the socket when it is joined to the guest. */
export const JOINED = 'joined'

/** Longest answer: `OK ` and a number of 32 bits have 13 bytes. */
const MAX_ANSWER_BYTES = 32
const NEWLINE = 0x0a
const ANSWER = /^OK [0-9]+$/

/**
 * Asks for `port` on a socket that is being connected to `target`, and reads the answer through the
 * socket's own `reader`.
 */
export function askForPort(socket: Socket, reader: PooledReader, port: number, target: string): void {
  let answer = ''
  const fail = (code: 'ERR_CONNECT_REFUSED' | 'ERR_CONNECT_UNREACHABLE', what: string): void => {
    socket.off('end', onEnd)
    socket.destroy(new TrunkError(code, `cannot connect to ${target}: ${what}`, { scope: 'link' }))
  }
  const onEnd = (): void => {
    fail('ERR_CONNECT_REFUSED', 'it hung up instead of answering: nobody listens at that port of the guest')
  }
  socket.once('end', onEnd)
  reader.start((chunk) => {
    const end = chunk.indexOf(NEWLINE)
    const line = end === -1 ? chunk : chunk.subarray(0, end)
    answer += String.fromCharCode(...line.subarray(0, MAX_ANSWER_BYTES + 1))
    if (answer.length <= MAX_ANSWER_BYTES && end === -1) return
    reader.stop(chunk.subarray(end + 1))
    if (answer.length > MAX_ANSWER_BYTES || !ANSWER.test(answer)) {
      const said = JSON.stringify(answer.slice(0, MAX_ANSWER_BYTES))
      fail('ERR_CONNECT_UNREACHABLE', `what answers there is no vsock of a virtual machine: it said ${said}`)
      return
    }
    socket.off('end', onEnd)
    socket.emit(JOINED)
  })
  socket.write(`CONNECT ${String(port)}\n`)
}
