/**
 * The terminal of standard input, raw while a session has it: every key goes to the peer. It is put
 * back on every way out that a process has a say in, by whoever comes first; hence there
 * is one, for the whole process.
 */
import { spawnSync } from 'node:child_process'
import { writeSync } from 'node:fs'
import { ReadStream } from 'node:tty'
import { atLast, lastWords } from '../last-words.ts'
import { loadNative } from '../../native/load.ts'

let isWatching = false

export class RawTerminal {
  readonly input: ReadStream
  readonly #fd: number
  readonly #undo: () => string
  #said: (() => void) | undefined

  /** @param undo what is to be written behind the last output, at the end */
  constructor(fd: number, undo: () => string) {
    this.#fd = fd
    this.#undo = undo
    this.input = new ReadStream(fd)
    // the terminal is gone: its end says it
    this.input.on('error', () => undefined)
    if (!isWatching) process.once('exit', lastWords)
    isWatching = true
    this.enter()
  }

  enter(): void {
    this.#said = atLast(() => this.restore())
    this.input.setRawMode(true)
    // Node leaves the terminal to turn line feeds into CR LF: the peer's terminal has done it where
    // its program wants it
    const native = loadNative()
    if (native !== undefined) native.setMode(this.#fd, 'opost', 0)
    else spawnSync('stty', ['-opost'], { stdio: [this.#fd, 'ignore', 'ignore'] })
  }

  /** Harmless when repeated. */
  restore(): void {
    if (this.#said === undefined) return
    this.#said()
    this.#said = undefined
    this.input.setRawMode(false)
    const text = this.#undo()
    if (text === '') return
    try {
      writeSync(1, text)
    } catch {
      // nobody sees it
    }
  }

  close(): void {
    this.restore()
    this.input.destroy()
  }
}
