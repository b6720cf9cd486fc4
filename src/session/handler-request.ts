/** What a handler gets of an open by the peer. */
import type { Clock } from '../runtime/clock.ts'
import type { Pipe, PipeRequest, Protocol, Trunk } from '../contracts/types.ts'
import type { MuxCore } from '../core/mux/core.ts'
import type { OpenRequest } from './open-request.ts'
import type { TrunkPipe } from './pipe/pipe.ts'

/** How often the opener is told at most that the work for it goes on. */
const WORKING_MS = 1_000

/** A pipe that the peer has opened, and whose handler is known. */
export interface Incoming {
  readonly mux: MuxCore
  readonly pipe: TrunkPipe
  readonly protocol: Protocol
  readonly head: OpenRequest
}

/** An open by the peer, as its handler sees it. */
export class HandlerRequest implements PipeRequest<never> {
  readonly params: never
  readonly version: number
  readonly trunk: Trunk
  readonly accept: (reply?: unknown) => Pipe
  readonly #pipe: TrunkPipe
  readonly #mux: MuxCore
  readonly #clock: Clock
  #toldAt = -Infinity

  constructor(
    { mux, pipe, head }: Incoming,
    trunk: Trunk,
    clock: Clock,
    params: unknown,
    accept: (reply?: unknown) => Pipe,
  ) {
    this.#pipe = pipe
    this.#mux = mux
    this.#clock = clock
    // what `parse` of the same protocol gave
    this.params = params as never
    this.version = head.version
    this.trunk = trunk
    this.accept = accept
  }

  get signal(): AbortSignal {
    return this.#pipe.signal
  }

  working(): void {
    const now = this.#clock.now()
    if (now - this.#toldAt < WORKING_MS) return
    this.#toldAt = now
    this.#mux.working(this.#pipe.state)
  }
}
