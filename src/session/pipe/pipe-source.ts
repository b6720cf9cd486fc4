/** The readable side of a pipe, as users iterate it. */
import { Uint8ArrayList } from 'uint8arraylist'
import { TrunkError, toTrunkError } from '../../contracts/errors.ts'
import { rejected } from './rejected.ts'

/** What a source needs of its pipe. */
interface ReadPipe {
  take(): Uint8Array[] | 'end' | undefined
  giveBack(pieces: readonly Uint8Array[]): void
  stopReading(): void
  abort(reason: Error): void
}

/**
 * The readable side as an async generator: written by hand, since a generator function costs a
 * suspended frame and a promise per item.
 */
export class PipeSource implements AsyncGenerator<Uint8ArrayList, void, undefined> {
  /** Items are borrowed until the next one is asked for. */
  readonly isBorrowed: boolean
  readonly #pipe: ReadPipe
  /** What the last item held, where items are borrowed. */
  #borrowed: readonly Uint8Array[] | undefined
  #iterated = false
  #done = false
  #waiter:
    | { resolve: (result: IteratorResult<Uint8ArrayList, void>) => void; reject: (error: unknown) => void }
    | undefined

  constructor(pipe: ReadPipe, isBorrowed: boolean) {
    this.#pipe = pipe
    this.isBorrowed = isBorrowed
  }

  [Symbol.asyncIterator](): this {
    if (this.#iterated) throw new TrunkError('ERR_PIPE_BUSY', 'a pipe can be iterated once')
    this.#iterated = true
    return this
  }

  next(): Promise<IteratorResult<Uint8ArrayList, void>> {
    if (this.#done) return Promise.resolve({ done: true, value: undefined })
    if (this.#waiter !== undefined) return rejected(new TrunkError('ERR_PIPE_BUSY', 'the pipe is being read already'))
    try {
      const result = this.#result()
      if (result !== undefined) return Promise.resolve(result)
    } catch (error) {
      this.#done = true
      return rejected(error)
    }
    return new Promise((resolve, reject) => {
      this.#waiter = { resolve, reject }
    })
  }

  return(): Promise<IteratorResult<Uint8ArrayList, void>> {
    if (!this.#done) {
      this.#done = true
      this.#pipe.stopReading() // which answers a `next` that waits
    }
    return Promise.resolve({ done: true, value: undefined })
  }

  throw(error: unknown): Promise<IteratorResult<Uint8ArrayList, void>> {
    this.#done = true
    this.#pipe.abort(toTrunkError(error, 'ERR_ABORTED', 'the reader failed'))
    return rejected(error)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return()
  }

  #giveBack(): void {
    if (this.#borrowed === undefined) return
    this.#pipe.giveBack(this.#borrowed)
    this.#borrowed = undefined
  }

  /** Somebody has asked for more. */
  get waits(): boolean {
    return this.#waiter !== undefined
  }

  /** Something changed: a waiting `next` is answered if it can be. */
  wake(): void {
    const waiter = this.#waiter
    if (waiter === undefined) return
    try {
      const result = this.#result()
      if (result === undefined) return
      this.#waiter = undefined
      waiter.resolve(result)
    } catch (error) {
      this.#done = true
      this.#waiter = undefined
      waiter.reject(error)
    }
  }

  #result(): IteratorResult<Uint8ArrayList, void> | undefined {
    this.#giveBack()
    const taken = this.#pipe.take()
    if (taken === undefined) return undefined
    if (taken !== 'end') {
      // a copy: what the reader does to its list must not change what is given back
      if (this.isBorrowed) this.#borrowed = [...taken]
      return { done: false, value: listOf(taken) }
    }
    this.#done = true
    return { done: true, value: undefined }
  }
}

function listOf(pieces: Uint8Array[]): Uint8ArrayList {
  let bytes = 0
  for (const piece of pieces) bytes += piece.byteLength
  return Uint8ArrayList.fromUint8Arrays(pieces, bytes)
}
