/**
 * A promise that is settled from outside. Its failure reaches whoever waits for it, and ends no
 * process where nobody does.
 */

export class Deferred<T = void> {
  readonly promise: Promise<T>
  resolve!: (value: T) => void
  #reject!: (error: Error) => void

  constructor() {
    this.promise = new Promise((resolve, reject) => {
      this.resolve = resolve
      this.#reject = reject
    })
  }

  reject(error: Error): void {
    // only here: most are never rejected, and a handler has its price
    this.promise.catch(ignore)
    this.#reject(error)
  }
}

function ignore(): void {
  // whoever waits is told
}
