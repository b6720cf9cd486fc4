/** We go before the command ends: one that is kept stays, another is ended. */
import { constants } from 'node:os'
import type { RunningCommand } from '../../../protocols/exec.ts'
import { CommandEnded, EXEC_EXIT, Failure } from '../failure.ts'

export class Leaving {
  readonly #command: RunningCommand
  readonly #hungUp: () => void
  #outcome: Promise<Failure> | undefined
  #reject: (error: Failure) => void = () => undefined
  /** Rejects when we have gone. */
  readonly promise: Promise<never>

  constructor(command: RunningCommand) {
    this.#command = command
    this.promise = new Promise((_, reject) => (this.#reject = reject))
    this.promise.catch(() => undefined)
    this.#hungUp = () => this.byHangUp()
    process.on('SIGHUP', this.#hungUp)
  }

  /** It goes on without us. */
  get canStay(): boolean {
    return this.#command.name !== undefined
  }

  /**
   * How we end, where we have begun to go: what then becomes of the command's pipes is our doing.
   */
  get outcome(): Promise<Failure> | undefined {
    return this.#outcome
  }

  detach(): void {
    this.#go(() => this.#command.detach(), new CommandEnded(0))
  }

  /** Ends it. */
  kill(): void {
    const failure = new Failure('ERR_ABORTED', 'the command was ended by the escape ~.', EXEC_EXIT.ours)
    this.#go(() => {
      this.#command.kill(failure)
      return Promise.resolve()
    }, failure)
  }

  /** Our window is closed: what the command would see of that it sees. */
  byHangUp(): void {
    const { name } = this.#command
    const tell = (): Promise<void> => this.#command.signal('HUP', 'tree').catch(() => undefined)
    this.#go(
      name === undefined ? tell : () => this.#command.detach(),
      new CommandEnded(EXEC_EXIT.signalled + constants.signals.SIGHUP),
    )
  }

  over(): void {
    process.off('SIGHUP', this.#hungUp)
  }

  #go(work: () => Promise<void>, failure: Failure): void {
    this.#outcome ??= work().then(() => {
      this.#reject(failure)
      return failure
    })
  }
}
