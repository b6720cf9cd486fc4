/**
 * The direct interface of any link: its own where it has one, else one made of its source and sink.
 * So what reads and writes links knows one adapter.
 *
 * A foreign source may hang for ever: `stop` ends its iteration; the link itself is closed by its
 * owner.
 */
import { abortableSource } from 'abortable-iterator'
import { Uint8ArrayList } from 'uint8arraylist'
import type { Bytes, DirectLink, DirectReceiver, Link } from '../contracts/types.ts'

/** A direct adapter, and how to let go of it. */
export interface DirectAdapter extends DirectLink {
  /** Nothing more is read or told. */
  stop(): void
}

/** The direct interface of `link`. */
export function asDirectLink(link: Link): DirectAdapter {
  const { direct } = link
  if (direct === undefined) return new IterablesAdapter(link)
  return {
    start: (receiver) => direct.start(receiver),
    write: (batch) => direct.write(batch),
    end: () => direct.end(),
    ...(direct.release && { release: (view) => direct.release?.(view) }),
    stop: () => undefined,
  }
}

class IterablesAdapter implements DirectAdapter {
  readonly #link: Link
  readonly #over = new AbortController()
  #receiver: DirectReceiver | undefined
  #batch: readonly Uint8Array[] | undefined
  #wake: (() => void) | undefined
  #ended = false

  constructor(link: Link) {
    this.#link = link
  }

  start(receiver: DirectReceiver): void {
    this.#receiver = receiver
    void this.#writeLoop()
    void this.#readLoop()
  }

  write(batch: readonly Uint8Array[]): boolean {
    this.#batch = batch
    this.#wake?.()
    return false
  }

  end(): void {
    this.#ended = true
    this.#wake?.()
  }

  stop(): void {
    this.#receiver = undefined
    this.#over.abort()
    this.end()
  }

  async #writeLoop(): Promise<void> {
    try {
      await this.#link.sink(this.#batches())
      if (!this.#ended) throw new Error('its sink has ended before it was given the end')
    } catch (error) {
      this.#receiver?.fail(error as Error)
    }
  }

  async #readLoop(): Promise<void> {
    try {
      const iterator = this.#link.source[Symbol.asyncIterator]()
      const source = { [Symbol.asyncIterator]: () => iterator }
      for await (const chunk of abortableSource(source, this.#over.signal, { returnOnAbort: true })) {
        if (chunk instanceof Uint8Array) this.#receiver?.data(chunk)
        else for (const piece of chunk) this.#receiver?.data(piece)
        // stopped while nothing was asked for: then an abort does not end the iteration
        if (this.#receiver === undefined) {
          await iterator.return?.()
          return
        }
      }
      this.#receiver?.end()
    } catch (error) {
      this.#receiver?.fail(error as Error)
    }
  }

  /** Asking for the next batch is what says that the last one has left. */
  async *#batches(): AsyncGenerator<Bytes> {
    for (;;) {
      const batch = this.#batch
      if (batch !== undefined) {
        const only = batch[0]
        yield batch.length === 1 && only !== undefined ? only : new Uint8ArrayList(...batch)
        this.#batch = undefined
        this.#receiver?.drain()
        continue
      }
      if (this.#ended) return
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
      this.#wake = undefined
    }
  }
}
