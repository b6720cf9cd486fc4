/** What a server knows of a command, kept or not: what it tells to those who ask for it. */
import type { Command } from './command.ts'
import type { KeptCommand } from './kept-command.ts'
import type { Ended } from './launch.ts'
import type { CommandFacts, StartReply, StartRequest } from './messages.ts'
import { outputsOf } from './running.ts'

/** Of a command's arguments, in what is told of it. */
const SHOWN_BYTES = 1024

export interface Known {
  readonly request: StartRequest
  /** One of both. */
  readonly command: Command | KeptCommand
  readonly kept: KeptCommand | undefined
  /** There once it runs. */
  reply?: StartReply
  argv: readonly (Uint8Array | string)[]
  startedMs: number
  /** There once its first process has ended, whatever its outputs and the rest of its tree do. */
  end?: Ended & { readonly atMs: number }
}

/** What is told of it at `now`; undefined where it does not run yet. */
export function factsOf(known: Known, now: number): CommandFacts | undefined {
  const { request, command, kept, reply, end } = known
  if (reply === undefined) return undefined
  return {
    ...reply,
    argv: cut(known.argv),
    state: end === undefined ? 'running' : 'exited',
    kept: kept !== undefined,
    tty: request.tty !== undefined,
    stdin: request.stdin === 'pipe',
    ageMs: Math.max(0, now - known.startedMs),
    ...(end && { endedMs: Math.max(0, now - end.atMs), exit: { code: end.code, signal: end.signal } }),
    controlled: kept?.isControlled ?? true,
    watchers: kept?.watchers ?? 0,
    offsets: kept !== undefined ? kept.offsets() : offsetsOf(command as Command, request),
  }
}

function offsetsOf(command: Command, request: StartRequest): CommandFacts['offsets'] {
  return Object.fromEntries(outputsOf(request).map((name) => [name, [command.written(name), command.written(name)]]))
}

/** The first 1,024 bytes of arguments. */
export function cut(argv: readonly (Uint8Array | string)[]): Buffer[] {
  let left = SHOWN_BYTES
  const parts: Buffer[] = []
  for (const argument of argv) {
    const bytes = Buffer.from(argument)
    parts.push(bytes.subarray(0, left))
    left -= bytes.byteLength
    if (left <= 0) break
  }
  return parts
}
