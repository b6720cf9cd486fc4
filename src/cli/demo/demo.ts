/**
 * The demo's parent: makes the files, starts guest and host, shows what they report, and leaves
 * nothing behind.
 */
import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, realpath, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { abortError } from '../../contracts/errors.ts'
import { interrupted } from '../context.ts'
import type { Context } from '../context.ts'
import { EXIT, Failure } from '../failure.ts'
import { MAIN, startChild } from './child.ts'
import type { Child } from './child.ts'
import type { ChildMessage, GuestReady } from './messages.ts'
import { Report } from './report.ts'
import { makeTree } from './tree.ts'

/** Runs the whole demo. */
export async function runDemo(context: Context): Promise<void> {
  const report = new Report(context)
  const folder = await mkdtemp(join(await realpath(tmpdir()), 'trunkline-demo-'))
  const trash = Buffer.from(folder)
  context.temporaries.add(trash)
  const children: Child[] = []
  const start = (role: 'guest' | 'host', plan: object): Child => {
    const child = startChild(role, plan)
    children.push(child)
    return child
  }
  const stop = interrupted(context).then(() => {
    throw abortError(context.signal)
  })
  try {
    await Promise.race([play(report, folder, start), stop])
  } finally {
    // Nobody waits for it any more.
    stop.catch(() => undefined)
    await Promise.all(children.map((child) => child.stop()))
    await rm(folder, { recursive: true, force: true })
    context.temporaries.delete(trash)
  }
}

async function play(
  report: Report,
  folder: string,
  start: (role: 'guest' | 'host', plan: object) => Child,
): Promise<void> {
  const [tree, copy, root] = [join(folder, 'tree'), join(folder, 'copy'), join(folder, 'guest')]
  await report.intro()
  await mkdir(root)
  const files = await makeTree(tree)
  const token = randomBytes(32).toString('hex')
  const guest = start('guest', { root, token })
  const { address, httpPort } = await ready(guest)
  const host = start('host', { address, httpPort, token, tree, copy, files })
  await report.processes({ pid: guest.pid, address }, host)
  let hostMemory = 0
  for await (const message of host.messages) {
    if (message.type === 'step') await report.step(message)
    else if (message.type === 'done') hostMemory = message.maxMemoryBytes
  }
  guest.finish()
  const last = await next(guest)
  await report.memory(last.type === 'done' ? last.maxMemoryBytes : 0, hostMemory)
  await report.byHand(MAIN)
}

async function ready(guest: Child): Promise<GuestReady> {
  const message = await next(guest)
  if (message.type === 'ready') return message
  throw new Failure('ERR_IO', 'the guest did not say where it is', EXIT.failed)
}

async function next(child: Child): Promise<ChildMessage> {
  const result = await child.messages.next()
  if (result.done !== true) return result.value
  throw new Failure('ERR_LINK_LOST', 'a process of the demo ended before its time', EXIT.failed)
}
