/** Attempts by Node's sockets, where there is no native addon. */
import { connect } from 'node:net'
import { netConnection } from '../tcp/net-connection.ts'
import { resetSocket } from '../tcp/reset-socket.ts'
import { KEEPALIVE_MS, type Attempts } from './attempt.ts'

export const netAttempts: Attempts = (address, port, outcome) => {
  const socket = connect({
    host: address,
    port,
    allowHalfOpen: true,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: KEEPALIVE_MS,
    // A literal has one family; without this Node may take its own timeout of 250 ms to it.
    autoSelectFamily: false,
  })
  let over = false
  socket.once('connect', () => {
    if (over) {
      resetSocket(socket)
      return
    }
    over = true
    outcome.connected(netConnection(socket))
  })
  socket.on('error', (error) => {
    if (over) return
    over = true
    socket.destroy()
    outcome.failed(error)
  })
  return {
    drop() {
      over = true
      // The kernel may have connected it without our having been told yet, so the loop gets a turn
      // to tell us, and then it is a reset.
      setImmediate(() => {
        // the first one may run in the turn that was polled before
        setImmediate(() => {
          socket.destroy()
        })
      })
    },
  }
}
