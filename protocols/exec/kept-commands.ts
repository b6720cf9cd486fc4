/**
 * The commands of a server that outlive their sessions: known to all of its peers, by name. Bounded
 * in number and in memory; one that is over gives way to a new one, and is forgotten some time
 * after its last controller has left.
 */
import { TrunkError } from '../../src/contracts/errors.ts'
import type { KeptCommand } from './kept-command.ts'
import type { Known } from './known.ts'
import type { CommandReference, StartRequest } from './messages.ts'
import { outputsOf } from './running.ts'

const HEX_OF_NAME = 8

/** Bounds of all of them together. */
export interface KeptLimits {
  readonly maxKept: number
  readonly maxRingBytes: number
}

/** One that is known. */
export interface Kept extends Known {
  readonly kept: KeptCommand
  readonly name: string
}

interface Entry {
  readonly id: string
  readonly bytes: number
  kept?: Kept
}

export class KeptCommands {
  readonly #limits: KeptLimits
  readonly #byName = new Map<string, Entry>()
  #ringBytes = 0

  constructor(limits: KeptLimits) {
    this.#limits = limits
  }

  /**
   * Takes a place for one that is about to start. Throws ERR_COMMAND_EXISTS and ERR_PROCESS_LIMIT.
   */
  reserve(request: StartRequest, ringBytes: number): string {
    const id = keyOf(request.id)
    const name = request.keep?.name ?? Buffer.from(request.id).toString('hex').slice(0, HEX_OF_NAME)
    const same = this.#byName.get(name)
    if (same !== undefined && !this.#giveWay(name, same))
      throw new TrunkError('ERR_COMMAND_EXISTS', 'there is a command of that name')
    for (const entry of this.#byName.values())
      if (entry.id === id) throw new TrunkError('ERR_COMMAND_EXISTS', 'there is a command of that id')
    const bytes = ringBytes * outputsOf(request).length
    const isFull = (): boolean =>
      this.#byName.size >= this.#limits.maxKept || this.#ringBytes + bytes > this.#limits.maxRingBytes
    // oldest first: a map keeps the order
    for (const [other, entry] of [...this.#byName]) if (isFull()) this.#giveWay(other, entry)
    if (isFull())
      throw new TrunkError('ERR_PROCESS_LIMIT', 'the server keeps as many commands, or as much output, as it may')
    this.#byName.set(name, { id, bytes })
    this.#ringBytes += bytes
    return name
  }

  /** Fills its place. */
  add(kept: Kept): void {
    const entry = this.#byName.get(kept.name)
    if (entry !== undefined) entry.kept = kept
  }

  find({ id, name }: CommandReference): Kept | undefined {
    if (name !== undefined) return this.#byName.get(name)?.kept
    const key = id && keyOf(id)
    for (const entry of this.#byName.values()) if (entry.id === key) return entry.kept
    return undefined
  }

  all(): Kept[] {
    return [...this.#byName.values()].flatMap(({ kept }) => kept ?? [])
  }

  /** Its place is free, and nobody finds it any more. */
  remove(name: string): void {
    const entry = this.#byName.get(name)
    if (entry === undefined) return
    this.#byName.delete(name)
    this.#ringBytes -= entry.bytes
    entry.kept?.kept.forgotten()
  }

  /** One that is over, and that nobody holds. */
  #giveWay(name: string, { kept }: Entry): boolean {
    if (kept === undefined || !kept.kept.isOver || kept.kept.isControlled) return false
    this.remove(name)
    return true
  }
}

/** By which it is found. */
export function keyOf(id: Uint8Array): string {
  return Buffer.from(id).toString('latin1')
}
