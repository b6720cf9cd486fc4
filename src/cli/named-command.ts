/** `serve --exec-named NAME=COMMAND`, and the words of commands. */
import { usageError } from './failure.ts'

/** A command that peers run as `@name`. */
export interface NamedCommand {
  readonly name: string
  readonly words: string[]
}

/** Parses one; wrong usage where it is none. */
export function namedCommand(text: string): NamedCommand {
  const at = text.indexOf('=')
  if (at < 1) throw usageError(`--exec-named ${text}: it is written NAME=COMMAND`)
  return { name: text.slice(0, at), words: wordsOf(text.slice(at + 1)) }
}

/** Words are separated by blanks; there are no quotes. */
export function wordsOf(text: string): string[] {
  return text.split(' ').filter((word) => word !== '')
}
