/**
 * A listener fed by calls: what tcp, unix, stdio and memory have in common.
 *
 * Promises: iterating yields each accepted link once, ends on `close`, and throws when accepting
 * failed. Bounds: 128 links that wait to be taken; one more is aborted at once, as a kernel's
 * backlog would.
 */
import { TrunkError } from '../../src/contracts/errors.ts'
import type { Link, Listener } from '../../src/contracts/types.ts'

/** Links that were accepted and not taken: the backlog that servers on Unix usually ask for. */
export const MAX_UNTAKEN_LINKS = 128
/**
 * Connections that the kernel has made and we have not accepted: more than strangers bring between
 * two turns of the event loop. Where it is full, whoever comes next tries again only after a
 * second.
 */
export const KERNEL_BACKLOG = 512

/** A {@link Listener} and the calls that feed it. */
export class LinkListener implements Listener {
  readonly address: string
  readonly #release: () => void
  readonly #untaken: Link[] = []
  #wakers: (() => void)[] = []
  #over = false
  /** No more links will come, though some may still wait to be taken. */
  #ended = false
  #failure: TrunkError | undefined
  #closing: Promise<void> | undefined

  /** @param release frees the address; called once. Must not throw */
  constructor(address: string, release: () => void) {
    this.address = address
    this.#release = release
  }

  /** True where one more link would be aborted. */
  get full(): boolean {
    return this.#ended || this.#over || this.#untaken.length >= MAX_UNTAKEN_LINKS
  }

  /** An accepted link; aborted where there is no room for it. */
  push(link: Link): void {
    if (this.full) {
      link.abort(new TrunkError('ERR_CONNECT_REFUSED', 'too many links wait to be accepted', { scope: 'link' }))
      return
    }
    this.#untaken.push(link)
    this.#wake()
  }

  /** No more links will come: iterating ends after those that wait to be taken. */
  end(): void {
    this.#ended = true
    this.#wake()
  }

  /**
   * Accepting failed or is over: iterating ends at once, with `failure` if there is one. Frees the
   * address.
   */
  finish(failure?: TrunkError): void {
    this.#failure ??= failure
    void this.close()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Link, void, undefined> {
    for (;;) {
      const link = this.#untaken.shift()
      if (link !== undefined) yield link
      else if (this.#failure !== undefined) throw this.#failure
      else if (this.#over || this.#ended) return
      else await new Promise<void>((resolve) => this.#wakers.push(resolve))
    }
  }

  /** Frees the address; see {@link Listener.close}. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    this.#over = true
    for (const link of this.#untaken.splice(0)) {
      link.abort(new TrunkError('ERR_CONNECT_REFUSED', 'the listener was closed', { scope: 'link' }))
    }
    this.#wake()
    this.#release()
  }

  #wake(): void {
    const wakers = this.#wakers
    this.#wakers = []
    for (const wake of wakers) wake()
  }
}
