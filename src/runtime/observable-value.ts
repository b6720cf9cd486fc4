/**
 * A value that changes, and those who watch it. Promises: a watcher is given the present value
 * first, then the latest one whenever it asks and there is one that it has not seen, the last one
 * always. It is known here only while it waits: one that was left or forgotten holds nothing.
 */
export class ObservableValue<T> {
  #value: T
  /** Counts the values, so that a watcher knows which it has seen. */
  #version = 1
  #ended = false
  readonly #waiting = new Set<() => void>()

  constructor(value: T) {
    this.#value = value
  }

  get value(): T {
    return this.#value
  }

  set(value: T): void {
    this.#value = value
    this.#version++
    // a copy: whoever is given the value may wait again
    for (const look of [...this.#waiting]) look()
  }

  /** Sets the last value: watching ends after it. */
  end(value: T): void {
    this.#ended = true
    this.set(value)
  }

  watch(): AsyncIterable<T> {
    return { [Symbol.asyncIterator]: () => this.#watcher() }
  }

  #watcher(): AsyncIterator<T, undefined> {
    const asked: ((result: IteratorResult<T, undefined>) => void)[] = []
    let seen = 0
    let left = false
    const look = (): void => {
      while (asked.length > 0) {
        const over = left || (this.#ended && seen === this.#version)
        if (!over && seen === this.#version) break
        seen = this.#version
        asked.shift()?.(over ? { done: true, value: undefined } : { done: false, value: this.#value })
      }
      if (asked.length > 0) this.#waiting.add(look)
      else this.#waiting.delete(look)
    }
    return {
      next: () =>
        new Promise((resolve) => {
          asked.push(resolve)
          look()
        }),
      return: () => {
        left = true
        look()
        return Promise.resolve({ done: true, value: undefined })
      },
    }
  }
}
