/**
 * A first-in first-out list that allocates nothing once it is as large as it gets: the muxer's
 * lists are filled and emptied for each batch.
 */
export class Fifo<T> {
  #items: (T | undefined)[] = []
  #head = 0
  /** How many there are. */
  length = 0

  push(item: T): void {
    if (this.length === this.#items.length) this.#grow()
    this.#items[(this.#head + this.length) & (this.#items.length - 1)] = item
    this.length++
  }

  /** The oldest, taken out; undefined where there is none. */
  shift(): T | undefined {
    if (this.length === 0) return undefined
    const item = this.#items[this.#head]
    this.#items[this.#head] = undefined
    this.#head = (this.#head + 1) & (this.#items.length - 1)
    this.length--
    return item
  }

  /** Takes out what is not to be kept. The order of the others stays. */
  keep(isKept: (item: T) => boolean): void {
    for (let left = this.length; left > 0; left--) {
      const item = this.shift()
      if (item !== undefined && isKept(item)) this.push(item)
    }
  }

  clear(): void {
    this.#items = []
    this.#head = 0
    this.length = 0
  }

  /** The size stays a power of two, so that a place is found by a mask. */
  #grow(): void {
    const items = this.#items
    const larger = new Array<T | undefined>(Math.max(8, items.length * 2)).fill(undefined)
    for (let at = 0; at < items.length; at++) larger[at] = items[(this.#head + at) & (items.length - 1)]
    this.#items = larger
    this.#head = 0
  }
}
