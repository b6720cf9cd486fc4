/**
 * We go before the command ends: one that is kept stays, another is ended. And what a signal to us
 * is to the command: an interrupt is passed on to it, unless we only look on, and then it ends us.
 */
import { constants } from 'node:os'
import type { CommandScope, RunningCommand } from '../../../protocols/exec.ts'
import { onAbort } from '../../runtime/on-abort.ts'
import type { Context } from '../context.ts'
import { CommandEnded, EXEC_EXIT, Failure } from '../failure.ts'

/** What we are to the command. */
export interface Part {
  /** We only look on. */
  readonly watches: boolean
  /** Whom Ctrl-C is for. */
  readonly interrupts: CommandScope
}

export class Leaving {
  readonly #command: RunningCommand
  readonly #hungUp: () => void
  readonly #uninterrupt: () => void
  #outcome: Promise<Failure> | undefined
  #reject: (error: Failure) => void = () => undefined
  /** Rejects when we have gone. */
  readonly promise: Promise<never>

  constructor({ signal }: Context, command: RunningCommand, { watches, interrupts }: Part) {
    this.#command = command
    this.promise = new Promise((_, reject) => (this.#reject = reject))
    this.promise.catch(() => undefined)
    this.#hungUp = () => this.byHangUp()
    process.on('SIGHUP', this.#hungUp)
    this.#uninterrupt = onAbort(signal, () => {
      const { cause } = signal.reason as { cause?: unknown }
      const isTerm = cause === 'SIGTERM'
      if (watches) this.#leaveBy(isTerm ? 'SIGTERM' : 'SIGINT')
      else command.signal(isTerm ? 'TERM' : 'INT', isTerm ? 'group' : interrupts).catch(() => undefined)
    })
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
    if (this.canStay) this.#leaveBy('SIGHUP')
    else this.#go(() => this.#command.signal('HUP', 'tree').catch(() => undefined), endedBy('SIGHUP'))
  }

  over(): void {
    process.off('SIGHUP', this.#hungUp)
    this.#uninterrupt()
  }

  #leaveBy(signal: NodeJS.Signals): void {
    this.#go(() => this.#command.detach(), endedBy(signal))
  }

  #go(work: () => Promise<void>, failure: Failure): void {
    this.#outcome ??= work().then(() => {
      this.#reject(failure)
      return failure
    })
  }
}

function endedBy(signal: NodeJS.Signals): Failure {
  return new CommandEnded(EXEC_EXIT.signalled + constants.signals[signal])
}
