/**
 * The demo's child processes. A child is this very program with a hidden option; it is sent one
 * plan and sends messages back. It ends when its parent goes, so nothing is left behind however the
 * parent ends.
 */
import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { EXIT, Failure } from '../failure.ts'
import type { ChildMessage } from './messages.ts'

/** Which part a child plays. */
export type Role = 'guest' | 'host'

/** A child as its parent sees it. */
export interface Child {
  readonly pid: number
  /** Its messages in order; ends with the child. Throws a {@link Failure} where it failed. */
  readonly messages: AsyncGenerator<ChildMessage, void, undefined>
  /** Asks it to come to its end, and to say so. */
  finish(): void
  /** Ends it: resolves when it has gone. */
  stop(): Promise<void>
}

/**
 * Put in where the command line is one file: what was started, and whether that is an executable
 * which brings its own Node.
 */
declare const TRUNKLINE_STARTED: string | undefined
declare const TRUNKLINE_EXECUTABLE: boolean | undefined

/** The program that the children are. */
export const MAIN: string =
  typeof TRUNKLINE_STARTED === 'string'
    ? TRUNKLINE_STARTED
    : fileURLToPath(new URL(`../main${extname(import.meta.url)}`, import.meta.url))

const isExecutable = typeof TRUNKLINE_EXECUTABLE === 'boolean' && TRUNKLINE_EXECUTABLE

/** Starts a child and sends it its plan. */
export function startChild(role: Role, plan: object): Child {
  // The arguments of Node itself are inherited, so that it also runs from the sources.
  const words = ['demo', '--role', role]
  const [first, ...rest] = isExecutable ? words : [MAIN, ...words]
  const child = fork(first ?? MAIN, rest, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
  const exited = new Promise<void>((resolve) => {
    child.once('exit', () => resolve())
    child.once('error', () => resolve())
  })
  child.send(plan)
  return {
    pid: child.pid ?? 0,
    messages: receive(child, role),
    finish: () => void child.send('finish'),
    async stop() {
      // The channel's end is what it waits for.
      if (child.connected) child.disconnect()
      await exited
    },
  }
}

async function* receive(child: ChildProcess, role: Role): AsyncGenerator<ChildMessage, void, undefined> {
  const queue: ChildMessage[] = []
  const state = { over: false }
  let wake: (() => void) | undefined
  const changed = (): void => wake?.()
  // A child sends a dozen messages in its life: the queue needs no bound.
  child.on('message', (message) => {
    queue.push(message as ChildMessage)
    changed()
  })
  child.once('close', () => {
    state.over = true
    changed()
  })
  for (;;) {
    const message = queue.shift()
    if (message?.type === 'failed') throw new Failure(message.code, `${role}: ${message.message}`, EXIT.failed)
    if (message !== undefined) yield message
    if (message?.type === 'done') return
    if (message !== undefined) continue
    if (state.over) throw new Failure('ERR_LINK_LOST', `the ${role} process ended before its time`, EXIT.failed)
    await new Promise<void>((resolve) => (wake = resolve))
  }
}

/**
 * In a child: sends a message to the parent. A parent that has gone is no error: then we end
 * anyway.
 */
export function tellParent(message: ChildMessage): Promise<void> {
  return new Promise((resolve) => {
    if (process.send === undefined || !process.connected) resolve()
    else process.send(message, () => resolve())
  })
}

/** In a child: the next thing that the parent says. */
export function hearParent(): Promise<unknown> {
  return new Promise((resolve) => process.once('message', resolve))
}

/** In a child: resolves when the parent has gone. */
export function parentGone(): Promise<void> {
  return new Promise((resolve) => {
    if (process.connected) process.once('disconnect', () => resolve())
    else resolve()
  })
}
