/**
 * A client of the proxy on a pipe, which the peer has accepted for us: read here until its request
 * is known, then what the bridge joins to a connection, its first bytes being those that came
 * behind the request.
 */
import { Uint8ArrayList } from 'uint8arraylist'
import { TrunkError } from '../../src/contracts/errors.ts'
import type { Clock } from '../../src/runtime/clock.ts'
import type { Pipe } from '../../src/contracts/types.ts'
import type { BridgedPipe } from '../tcp/bridge.ts'
import { BodyMeter } from './body-meter.ts'
import { LEAVE_MS, type Asked, type ProxyClient } from './client.ts'

/** See the top of the file. It owns the pipe. */
export class ClientPipe implements ProxyClient {
  readonly #pipe: Pipe
  readonly #clock: Clock
  readonly #chunks: AsyncGenerator<Uint8ArrayList, void, undefined>
  #leaving: Promise<void> | undefined

  constructor(pipe: Pipe, clock: Clock) {
    this.#pipe = pipe
    this.#clock = clock
    this.#chunks = pipe.borrowed
  }

  get gone(): AbortSignal {
    return this.#pipe.signal
  }

  #asked: Promise<IteratorResult<Uint8ArrayList, void>> | undefined

  async read(): Promise<Uint8Array | undefined> {
    // one that was given up is still under way, and a pipe takes one at a time
    const next = await (this.#asked ??= this.#chunks.next())
    this.#asked = undefined
    // its memory is the pipe's again with the next call
    return next.done === true ? undefined : next.value.slice()
  }

  async send(bytes: Uint8Array): Promise<void> {
    await this.#pipe.write(bytes)
  }

  leave(reply: Uint8Array): Promise<void> {
    this.#leaving ??= this.#leave(reply)
    return this.#leaving
  }

  async #leave(reply: Uint8Array): Promise<void> {
    const pipe = this.#pipe
    const cut = (): void => {
      pipe.abort(new TrunkError('ERR_ABORTED', 'the proxy has refused the client'))
    }
    if (reply.byteLength === 0) {
      cut()
      return
    }
    const timer = this.#clock.after(LEAVE_MS, cut)
    try {
      await pipe.write(reply)
      await pipe.closeWrite()
      // what the client still says is read, and dropped: cut at once, it may lose the reply
      while ((await this.read()) !== undefined);
      await pipe.close()
    } catch {
      // The client has left, or took too long: nothing of the pipe is left, which is what was
      // wanted.
      cut()
    } finally {
      timer.cancel()
    }
  }

  /** As {@link ClientConnection.joined}, for the bridge's other side. */
  joined(asked: Asked): BridgedPipe {
    const pipe = this.#pipe
    return {
      signal: pipe.signal,
      borrowed: this.#rest(asked),
      write: (chunk) => pipe.write(chunk),
      closeWrite: () => pipe.closeWrite(),
      stopReading: (code) => pipe.stopReading(code),
      abort: (reason) => pipe.abort(reason),
      abortWhenWritten: (reason) => pipe.abortWhenWritten(reason),
    }
  }

  async *#rest({ request: { passed }, rest }: Asked): AsyncGenerator<Uint8ArrayList, void, undefined> {
    const meter = passed && new BodyMeter(passed.body)
    const own = (chunk: Uint8ArrayList): Uint8ArrayList => {
      const count = meter === undefined ? chunk.byteLength : takeOf(meter, chunk)
      return count === chunk.byteLength ? chunk : chunk.sublist(0, count)
    }
    if (passed !== undefined) yield new Uint8ArrayList(passed.head)
    const first = own(new Uint8ArrayList(rest))
    if (first.byteLength > 0) yield first
    for await (const chunk of this.#chunks) {
      const part = own(chunk)
      if (part.byteLength > 0) yield part
    }
  }
}

/** Throws where the body is none: where it ends nobody knows. */
function takeOf(meter: BodyMeter, chunk: Uint8ArrayList): number {
  let count = 0
  for (const bytes of chunk) count += meter.take(bytes)
  if (meter.malformed) throw new TrunkError('ERR_MESSAGE_INVALID', 'the chunks of a body are none')
  return count
}
