/** Virtual time: events in order of (time, sequence). Nothing here knows the machine's clock. */
interface Entry {
  readonly at: number
  readonly sequence: number
  readonly run: () => void
}

export class Timeline {
  now = 0
  events = 0
  #sequence = 0
  /** A binary heap, the earliest entry first. */
  readonly #heap: Entry[] = []

  get isEmpty(): boolean {
    return this.#heap.length === 0
  }

  /** Runs `run` after `delayMs` of virtual time. */
  after(delayMs: number, run: () => void): void {
    const heap = this.#heap
    const entry = { at: this.now + Math.max(0, delayMs), sequence: this.#sequence++, run }
    let at = heap.length
    heap.push(entry)
    while (at > 0) {
      const parent = (at - 1) >> 1
      const above = heap[parent]
      if (above === undefined || !before(entry, above)) break
      heap[at] = above
      at = parent
    }
    heap[at] = entry
  }

  /** Runs the next event; false when there is none. */
  step(): boolean {
    const first = this.#heap[0]
    const last = this.#heap.pop()
    if (first === undefined || last === undefined) return false
    if (this.#heap.length > 0) this.#sink(last)
    this.now = first.at
    this.events++
    first.run()
    return true
  }

  #sink(entry: Entry): void {
    const heap = this.#heap
    let at = 0
    for (;;) {
      let child = at * 2 + 1
      const left = heap[child]
      if (left === undefined) break
      const right = heap[child + 1]
      if (right !== undefined && before(right, left)) child++
      const smaller = heap[child]
      if (smaller === undefined || !before(smaller, entry)) break
      heap[at] = smaller
      at = child
    }
    heap[at] = entry
  }
}

function before(a: Entry, b: Entry): boolean {
  return a.at < b.at || (a.at === b.at && a.sequence < b.sequence)
}
