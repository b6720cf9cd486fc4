/** Counts what a copy has done, and tells it. */
import { notify } from '../../../src/runtime/notify.ts'
import type { CopyProgress } from './types.ts'

export class ProgressCount {
  readonly #onProgress: ((progress: CopyProgress) => void) | undefined
  /** The sum of a tree is taken. */
  readonly #measures: boolean
  #now: CopyProgress = { bytes: 0, files: 0, directories: 0, totalBytes: 0, isTotalKnown: false }

  constructor(onProgress: ((progress: CopyProgress) => void) | undefined, measures: boolean) {
    this.#onProgress = onProgress
    this.#measures = measures
  }

  get now(): CopyProgress {
    return this.#now
  }

  /** `bytes` more have been copied. */
  add(bytes: number): void {
    this.#change({ bytes: this.#now.bytes + bytes })
  }

  file(): void {
    this.#change({ files: this.#now.files + 1 })
  }

  directory(): void {
    this.#change({ directories: this.#now.directories + 1 })
  }

  /** `bytes` more are known to have to be copied. */
  expect(bytes: number): void {
    if (bytes !== 0) this.#change({ totalBytes: this.#now.totalBytes + bytes })
  }

  /**
   * A file had `bytes` more than it said; fewer where it is negative. Where nobody asks what a tree
   * has, its files were not expected.
   */
  correct(bytes: number): void {
    if (this.#measures || this.#now.isTotalKnown) this.expect(bytes)
  }

  /** The sum of what is expected is now complete. */
  complete(): void {
    this.#change({ isTotalKnown: true })
  }

  #change(part: Partial<CopyProgress>): void {
    this.#now = { ...this.#now, ...part }
    notify(this.#onProgress, this.#now)
  }
}
