/**
 * The demo's guest: what would run inside the virtual machine. Serves files, connections to its web
 * page, and nothing else.
 */
import { createServer } from 'node:http'
import type { Server as HttpServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { filesystem } from '../../../protocols/filesystem.ts'
import { tcpConnection } from '../../../protocols/tcp-connection.ts'
import { serve } from '../../index.ts'
import { interrupted } from '../context.ts'
import type { Context } from '../context.ts'
import { hearParent, tellParent } from './child.ts'
import type { GuestPlan } from './messages.ts'

/** What the page says; the host checks it. */
export const PAGE = `<!doctype html>\n<title>trunkline</title>\n<p>This page crossed the trunk in a pipe of its own.</p>\n`

/** Serves until the parent says that it is enough. */
export async function runGuest(context: Context, { root, token }: GuestPlan): Promise<void> {
  const page = createServer((_request, response) => {
    response.setHeader('content-type', 'text/html; charset=utf-8').setHeader('connection', 'close').end(PAGE)
  })
  const httpPort = await listen(page)
  try {
    await using server = await serve('tcp://127.0.0.1:0', {
      token,
      name: 'demo guest',
      protocols: [filesystem({ root }), tcpConnection({ allow: [`127.0.0.1:${httpPort}`] })],
    })
    await tellParent({ type: 'ready', address: server.address, httpPort })
    await Promise.race([interrupted(context), hearParent()])
  } finally {
    page.close()
    page.closeAllConnections()
  }
}

function listen(server: HttpServer): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port))
  })
}
