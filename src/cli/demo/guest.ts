/**
 * The demo's guest: what would run inside the virtual machine. It serves files and a web page over
 * a trunk, and nothing else. It is this very program in a process of its own, and ends when its
 * parent goes, so nothing is left behind however that ends.
 */
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdir } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { filesystem } from '../../../protocols/filesystem.ts'
import { tcpConnection } from '../../../protocols/tcp-connection.ts'
import { serve } from '../../index.ts'
import { interrupted, type Context } from '../context.ts'

/** What the page says; the host checks it. */
export const PAGE = `<!doctype html>\n<title>trunkline</title>\n<p>This page crossed the trunk in a pipe of its own.</p>\n`

/** What it says first: where it is, and the port of the page. */
export interface GuestReady {
  readonly address: string
  readonly port: number
}

/** Put in by the bundle: what was started, and whether that brings its own Node. */
declare const TRUNKLINE_STARTED: string | undefined
declare const TRUNKLINE_EXECUTABLE: boolean | undefined

/** In the parent: starts the guest, which serves a folder in `folder` to peers with the token. */
export function startGuest(folder: string, token: string): ChildProcess {
  const ownFile = (): string => fileURLToPath(new URL(`../main${extname(import.meta.url)}`, import.meta.url))
  const main = typeof TRUNKLINE_STARTED === 'string' ? TRUNKLINE_STARTED : ownFile()
  const isExecutable = typeof TRUNKLINE_EXECUTABLE === 'boolean' && TRUNKLINE_EXECUTABLE
  const [first = main, ...rest] = isExecutable ? ['demo', '--guest'] : [main, 'demo', '--guest']
  // the arguments of Node itself are inherited, so that it also runs from the sources
  const guest = fork(first, rest, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
  guest.send({ root: join(folder, 'guest'), token })
  return guest
}

/** In the guest: says where it is, serves until it is told to finish, then says its memory. */
export async function runGuest(context: Context): Promise<void> {
  process.once('disconnect', () => process.exit(1))
  const [{ root, token }] = (await once(process, 'message')) as [{ root: string; token: string }]
  await mkdir(root)
  const page = createServer((_request, response) => {
    response.setHeader('content-type', 'text/html; charset=utf-8').setHeader('connection', 'close').end(PAGE)
  })
  await once(page.listen(0, '127.0.0.1'), 'listening')
  const { port } = page.address() as AddressInfo
  const protocols = [filesystem({ root }), tcpConnection({ allow: [`127.0.0.1:${port}`] })]
  await using server = await serve('tcp://127.0.0.1:0', { token, name: 'demo guest', protocols })
  process.send?.({ address: server.address, port } satisfies GuestReady)
  await Promise.race([interrupted(context), once(process, 'message')])
  process.send?.(process.resourceUsage().maxRSS * 1024)
  page.close()
}
