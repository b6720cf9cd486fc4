/**
 * One raw line, link after link: what a serving side needs where the line outlives its sessions, as
 * a serial port does. Promises: at most one link at a time has the line; what comes while none has
 * it is dropped; closing or aborting a link gives the line back and leaves it open; a link that is
 * taken while the last batch of another has not left waits for that. Owns the raw link.
 */
import type { TrunkError } from '../contracts/errors.ts'
import { badArgument, toTrunkError } from '../contracts/errors.ts'
import type { DirectLink, DirectReceiver, Link } from '../contracts/types.ts'
import { asDirectLink, type DirectAdapter } from './direct-adapter.ts'

export class SharedLink {
  readonly #raw: Link
  readonly #adapter: DirectAdapter
  #lease: LinkLease | undefined
  #busy = false
  #onFree: (() => void) | undefined
  /** Why there is no more: the raw link has ended (null) or failed. */
  #over: TrunkError | null | undefined

  constructor(raw: Link) {
    this.#raw = raw
    this.#adapter = asDirectLink(raw)
    this.#adapter.start({
      data: (chunk) => this.#lease?.receiver?.data(chunk),
      end: () => {
        this.#finish(null)
      },
      fail: (error) => {
        this.#finish(toTrunkError(error, 'ERR_LINK_FAILED', 'the line failed'))
      },
      drain: () => {
        this.#busy = false
        this.#lease?.drained()
      },
    })
  }

  /** True once the raw link is over: there is nothing left to take. */
  get over(): boolean {
    return this.#over !== undefined
  }

  /** The line, until it is closed or aborted. */
  take(): Link {
    if (this.#lease !== undefined) throw badArgument('somebody has the line')
    const lease = new LinkLease(
      this.#raw.peer,
      (batch) => this.#write(batch),
      () => {
        this.#lease = undefined
        this.#onFree?.()
      },
      () => this.#over,
    )
    this.#lease = lease
    if (this.#busy) lease.waits = true
    return lease
  }

  /**
   * Resolves when nobody has the line: a session that has failed may still have its goodbye to say.
   * One may wait at a time.
   */
  free(): Promise<void> {
    if (this.#lease === undefined) return Promise.resolve()
    return new Promise((resolve) => {
      this.#onFree = resolve
    })
  }

  /** Closes the raw link. Never rejects. */
  async close(): Promise<void> {
    this.#over ??= null
    this.#adapter.stop()
    await this.#raw.close().catch(() => {
      // the link says that its close failed: it is gone all the same
    })
  }

  #write(batch: readonly Uint8Array[]): boolean {
    this.#busy = !this.#adapter.write(batch)
    return !this.#busy
  }

  #finish(over: TrunkError | null): void {
    if (this.#over !== undefined) return
    this.#over = over
    this.#lease?.linkOver(over)
  }
}

/** The line while one session has it. */
class LinkLease implements Link {
  readonly peer?: string
  readonly direct: DirectLink
  receiver: DirectReceiver | undefined
  /** The last batch of whoever had the line before has not left. */
  waits = false
  #batch: readonly Uint8Array[] | undefined
  readonly #write: (batch: readonly Uint8Array[]) => boolean
  readonly #release: () => void
  #left = false

  constructor(
    peer: string | undefined,
    write: (batch: readonly Uint8Array[]) => boolean,
    release: () => void,
    over: () => TrunkError | null | undefined,
  ) {
    if (peer !== undefined) this.peer = peer
    this.#write = write
    this.#release = release
    this.direct = {
      start: (receiver) => {
        this.receiver = receiver
        const end = over()
        if (end !== undefined) queueMicrotask(() => this.linkOver(end))
      },
      write: (batch) => {
        if (!this.waits) return this.#write(batch)
        this.#batch = batch
        return false
      },
      end: () => undefined,
    }
  }

  get source(): never {
    throw badArgument('a lease of a shared link has its direct adapter alone')
  }

  readonly sink = (): Promise<never> =>
    Promise.reject(badArgument('a lease of a shared link has its direct adapter alone'))

  drained(): void {
    if (!this.waits) {
      this.receiver?.drain()
      return
    }
    this.waits = false
    const batch = this.#batch
    this.#batch = undefined
    if (batch !== undefined && this.#write(batch)) this.receiver?.drain()
  }

  linkOver(over: TrunkError | null): void {
    const { receiver } = this
    if (over === null) receiver?.end()
    else receiver?.fail(over)
  }

  close(): Promise<void> {
    this.#leave()
    return Promise.resolve()
  }

  abort(): void {
    this.#leave()
  }

  #leave(): void {
    if (this.#left) return
    this.#left = true
    this.receiver = undefined
    this.#batch = undefined
    this.#release()
  }
}
