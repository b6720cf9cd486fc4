/**
 * ReadBuffers for a socket that Node's server has accepted. Node reads such a socket into fresh
 * memory, 64 KiB at a time, which costs a receiver of bulk five times the processor time of read
 * buffers; only a socket that is made with `onread` is read into memory of ours. So a second socket
 * is made over the first one's handle, in the turn in which it was accepted and before anything of
 * it was read.
 *
 * A socket's handle has no public name. Where it is missing one day, the first socket is used as it
 * is.
 */
import { Socket, type OnReadOpts, type SocketConstructorOpts } from 'node:net'
import { PooledReader } from './pooled-reader.ts'

interface HandleOwner {
  _handle?: object | null
}

/**
 * The socket to use in the place of `socket`, and what reads it; to be called within the server's
 * 'connection' event.
 */
export function readPooled(socket: Socket): { socket: Socket; reader?: PooledReader } {
  const owner = socket as unknown as HandleOwner
  const handle = owner._handle
  if (typeof handle !== 'object' || handle === null || socket.destroyed || socket.bytesRead > 0) return { socket }
  const reader = new PooledReader()
  const options: SocketConstructorOpts & { handle: object; onread: OnReadOpts } = {
    handle,
    allowHalfOpen: true,
    onread: reader.onread,
  }
  const made = new Socket(options)
  if ((made as unknown as HandleOwner)._handle !== handle) {
    made.destroy()
    return { socket }
  }
  owner._handle = null
  // it has nothing to close any more, and the server no longer counts it
  socket.destroy()
  return { socket: made, reader }
}
