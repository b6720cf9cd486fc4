/**
 * Trees whose leader has ended well and left processes behind: the server's from there on, and
 * bounded. They are looked at when it matters, which is when a command starts.
 */
import type { Launched } from './launch.ts'

export class Leftovers {
  readonly #max: number
  readonly #trees = new Set<Launched>()

  constructor(max: number) {
    this.#max = max
  }

  get isFull(): boolean {
    if (this.#trees.size < this.#max) return false
    for (const tree of this.#trees) if (tree.count() === 0) this.#trees.delete(tree)
    return this.#trees.size >= this.#max
  }

  add(tree: Launched): void {
    tree.release()
    this.#trees.add(tree)
  }
}
