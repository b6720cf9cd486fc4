/**
 * Lines over standard input and output: `stdio:` is this process's own, `exec:COMMAND` those of a
 * child that it starts. One end of `ssh host trunkline serve stdio:` speaks each.
 *
 * Promises and bounds: internal/stdio-link.ts and internal/child-link.ts. `stdio:` connects or
 * listens, once in a process's life, and listening yields one link; `exec:` only connects.
 */
import { badArgument, TrunkError } from '../src/contracts/errors.ts'
import type { Transport, TransportTraits } from '../src/contracts/types.ts'
import type { Command } from './internal/child-link.ts'
import { startChild } from './internal/child-link.ts'
import { joinWords, splitWords } from './internal/command-words.ts'
import { LinkListener } from './internal/link-listener.ts'
import { takeStdio } from './internal/stdio-link.ts'

/** What to run. */
export interface ExecOptions {
  /** A program, looked up in PATH; no shell is involved. */
  command: string
  /** Its arguments, one each; nothing is split or expanded. @default none */
  args?: readonly string[]
  /** The folder in which it starts. @default the current folder */
  cwd?: string
  /** The child's whole environment. @default this process's */
  env?: NodeJS.ProcessEnv
  /** Where the child's messages go. @default 'inherit', our own stderr */
  stderr?: 'inherit' | 'ignore'
}

/** Frames of 32 KiB: half of what a pipe holds, and what ssh puts into one packet of its own. */
const TRAITS: TransportTraits = { lossless: true, connected: true, preferredFrameBytes: 32 * 1024 }

/**
 * This process's stdin and stdout. Throws ERR_ADDRESS_INVALID for anything but `stdio:`.
 *
 * @example
 * ```ts
 * const server = await serve(stdio(), { protocols }) // run by ssh, docker exec, virsh console
 * ```
 */
export function stdio(address = 'stdio:'): Transport {
  if (address !== 'stdio:') {
    throw new TrunkError('ERR_ADDRESS_INVALID', `${JSON.stringify(address)} is no stdio address: it must be stdio:`)
  }
  return {
    scheme: 'stdio',
    address,
    traits: TRAITS,
    async connect(options) {
      options.signal.throwIfAborted()
      return Promise.resolve(takeStdio(options))
    },
    async listen(options) {
      options.signal.throwIfAborted()
      const link = takeStdio(options)
      const listener = new LinkListener(address, () => undefined)
      listener.push(link)
      listener.end()
      return Promise.resolve(listener)
    },
  }
}

/**
 * A child's stdin and stdout. As an address: `exec:` and a command line, cut into words as a shell
 * would (quotes and backslashes, nothing is expanded). Throws ERR_ADDRESS_INVALID or
 * ERR_BAD_ARGUMENT.
 * @example connect(exec({ command: 'ssh', args: ['host', 'trunkline', 'serve', 'stdio:'] }))
 */
export function exec(address: string | ExecOptions): Transport {
  const what = typeof address === 'string' ? parseExec(address) : checkOptions(address)
  const written = `exec:${joinWords([what.command, ...what.args])}`
  return {
    scheme: 'exec',
    address: written,
    traits: TRAITS,
    connect: (options) => startChild(what, options),
    listen() {
      const message = `${written}: a command can be connected to, not listened at; run the listening side inside it with stdio:`
      return Promise.reject(new TrunkError('ERR_UNSUPPORTED', message, { scope: 'link' }))
    },
  }
}

function parseExec(address: string): Command {
  if (!address.startsWith('exec:')) {
    throw new TrunkError(
      'ERR_ADDRESS_INVALID',
      `${JSON.stringify(address)} is no exec address: it must be exec:COMMAND`,
    )
  }
  const [command = '', ...args] = splitWords(address.slice('exec:'.length), address)
  if (command === '') throw new TrunkError('ERR_ADDRESS_INVALID', `${JSON.stringify(address)} names no command`)
  return { command, args, stderr: 'inherit' }
}

function checkOptions({ command, args = [], cwd, env, stderr = 'inherit' }: ExecOptions): Command {
  for (const word of [command, ...args, cwd ?? '']) {
    if (typeof word !== 'string' || word.includes('\0'))
      throw badArgument(`${JSON.stringify(word)} cannot be a word of a command`)
  }
  if (command === '') throw badArgument('command must not be empty')
  return {
    command,
    args: [...args],
    stderr,
    ...(cwd === undefined ? {} : { cwd }),
    ...(env === undefined ? {} : { env }),
  }
}
