/**
 * Finds sync words in chunks, however they are cut. Promises: every byte is handed on once and in
 * order, as part of what lies between two words; a word itself is not. Holds back at most the seven
 * bytes at the end of a chunk that may begin a word. The word's bytes all differ, so a beginning
 * that goes on otherwise can hide no other beginning but its own last byte.
 */
import { SYNC_WORD } from '../frame/constants.ts'
import type { ChecksumTools } from './checks.ts'

/** What a {@link SyncScanner} calls. */
export interface SyncHandler {
  /** Bytes between words; never empty. */
  between(bytes: Uint8Array): void
  /** A word. */
  sync(): void
}

export class SyncScanner {
  readonly #tools: ChecksumTools
  readonly #handler: SyncHandler
  /** Bytes of the word that the last chunk ended with. */
  #held = 0

  constructor(tools: ChecksumTools, handler: SyncHandler) {
    this.#tools = tools
    this.#handler = handler
  }

  push(chunk: Uint8Array): void {
    let at = this.#resume(chunk)
    while (at < chunk.byteLength) {
      const found = this.#tools.find(chunk, SYNC_WORD, at)
      if (found < 0) break
      if (found > at) this.#handler.between(chunk.subarray(at, found))
      this.#handler.sync()
      at = found + SYNC_WORD.byteLength
    }
    if (at >= chunk.byteLength) return
    this.#held = beginningAtEnd(chunk, at)
    const end = chunk.byteLength - this.#held
    if (end > at) this.#handler.between(chunk.subarray(at, end))
  }

  /** Goes on with what was held back; gives where the rest of the chunk begins. */
  #resume(chunk: Uint8Array): number {
    const held = this.#held
    if (held === 0) return 0
    let at = 0
    while (at < chunk.byteLength && held + at < SYNC_WORD.byteLength && chunk[at] === SYNC_WORD[held + at]) at++
    if (held + at === SYNC_WORD.byteLength) {
      this.#held = 0
      this.#handler.sync()
      return at
    }
    if (at === chunk.byteLength) {
      this.#held = held + at
      return at
    }
    this.#held = 0
    this.#handler.between(SYNC_WORD.slice(0, held + at))
    return at
  }
}

/** How many bytes at the end of `chunk` (not before `from`) are the beginning of a word. */
function beginningAtEnd(chunk: Uint8Array, from: number): number {
  const end = chunk.byteLength
  for (let start = Math.max(from, end - SYNC_WORD.byteLength + 1); start < end; start++) {
    let length = 0
    while (start + length < end && chunk[start + length] === SYNC_WORD[length]) length++
    if (start + length === end) return length
  }
  return 0
}
