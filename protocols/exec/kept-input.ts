/**
 * The input of a kept command, whose writer changes: one chunk at a time, whoever writes, and in
 * the order in which they came. What a controller has begun to write is written before the next
 * one's.
 */
import { TrunkError } from '../../src/contracts/errors.ts'
import type { Pipe } from '../../src/contracts/types.ts'
import type { ProgramInput } from './launch.ts'

export class KeptInput {
  readonly #pipes = new Set<Pipe>()
  #last: Promise<unknown> = Promise.resolve()
  #isOver = false

  /**
   * Writes what comes of a pipe. Its end is the input's; its loss is not: the next controller goes
   * on.
   * @param isOurs false: another has the input now, and whoever has lost it has not ended it
   */
  async carry(pipe: Pipe, input: ProgramInput, isOurs: () => boolean): Promise<void> {
    this.#pipes.add(pipe)
    if (this.#isOver) pipe.stopReading('ERR_STDIN_CLOSED')
    try {
      for await (const data of pipe.borrowed) {
        for (const chunk of data) {
          if (await this.#inTurn(isOurs, () => input.write(chunk))) continue
          pipe.stopReading('ERR_STDIN_CLOSED')
          return
        }
      }
      if (isOurs())
        await this.#inTurn(isOurs, () => {
          input.end()
        })
    } finally {
      this.#pipes.delete(pipe)
    }
  }

  /** The program has ended. */
  over(): void {
    this.#isOver = true
    for (const pipe of this.#pipes) pipe.stopReading('ERR_STDIN_CLOSED')
  }

  async #inTurn<T>(isOurs: () => boolean, work: () => T | Promise<T>): Promise<T> {
    const turn = this.#last.then(() => {
      if (!isOurs()) throw new TrunkError('ERR_COMMAND_ATTACHED', 'another has taken the command')
      return work()
    })
    this.#last = turn.catch(() => undefined)
    return await turn
  }
}
