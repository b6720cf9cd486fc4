/**
 * What commander cannot be told of arguments, and so is written out before it reads them: `--wait`
 * takes a number and nothing else, and `exec @NAME -- PROGRAM` names a peer. Which options take a
 * value is asked of the command itself.
 */
import type { Command } from 'commander'
import { usageError } from './failure.ts'
import { BARE_WAIT, isWaitSeconds } from './wait.ts'

/** Takes its value behind `=` alone. */
const KEEP = '--keep'

/** `args` of `program`, with what commander needs written out. */
export function preparedArguments(args: readonly string[], program: Command): string[] {
  const command = program.commands.find((one) => one.name() === args[0])
  const isExec = command?.name() === 'exec'
  const end = isExec ? firstOperand(args, command) : args.indexOf('--')
  return withBareWait(isExec ? withPeer(args, end) : args, end)
}

/**
 * `--wait` takes a number and nothing else: what follows it otherwise is the command's, as in `ls
 * --wait :/`.
 */
function withBareWait(args: readonly string[], end: number): string[] {
  return args.map((text, i) => {
    if (end >= 0 && i >= end) return text
    if (text === '--wait' && !isWaitSeconds(args[i + 1])) return BARE_WAIT
    // what follows it is the program
    return text === KEEP && args[0] === 'exec' ? `${KEEP}=default` : text
  })
}

/**
 * `exec @NAME -- PROGRAM` is `exec --to NAME -- PROGRAM`. Without the two dashes `@NAME` is what
 * the peer runs by that name.
 */
function withPeer(args: readonly string[], at: number): readonly string[] {
  const name = /^@(.+)$/s.exec(args[at] ?? '')?.[1]
  if (name === undefined || args[at + 1] !== '--') return args
  const before = args.slice(0, at)
  if (before.some((text) => text === '--to' || text.startsWith('--to=')))
    throw usageError(`@${name} -- names the peer, and so does --to: give one of them`)
  return [...before, `--to=${name}`, ...args.slice(at + 1)]
}

/** Where the first word that is no option is, or `--`: what is behind it is the program's. */
function firstOperand(args: readonly string[], command: Command): number {
  for (let i = 1; i < args.length; i++) {
    const text = args[i] ?? ''
    if (text === '--' || !text.startsWith('-') || text === '-') return i
    if (takesNext(text, args[i + 1], command)) i++
  }
  return -1
}

/** True where the word behind the option `text` is its value. */
function takesNext(text: string, next: string | undefined, command: Command): boolean {
  if (text === KEEP) return false
  if (text.startsWith('--')) {
    const option = command.options.find(({ long }) => long === text)
    return option?.required === true || (option?.optional === true && isWaitSeconds(next))
  }
  for (let i = 1; i < text.length; i++) {
    const option = command.options.find(({ short }) => short === `-${text.charAt(i)}`)
    // in `-nw DIR` the last letter takes it, in `-w/src` the rest of the word is it
    if (option === undefined || option.required) return option !== undefined && i === text.length - 1
  }
  return false
}
