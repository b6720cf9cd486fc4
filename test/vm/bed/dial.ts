/** Connects to a unix socket that another process makes in its own time. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

const PAUSE_MS = 10

/** Resolves with the connection; tries until it works, or rejects when `giveUp` says why not. */
export async function dial(path: string, giveUp: () => Error | undefined): Promise<Socket> {
  for (;;) {
    const socket = connect({ path, allowHalfOpen: true })
    try {
      await once(socket, 'connect')
      return socket
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code !== 'ENOENT' && code !== 'ECONNREFUSED') throw error
    }
    const why = giveUp()
    if (why !== undefined) throw why
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS))
  }
}
