/**
 * A TCP proxy of a few lines, without a tunnel: `node proxy.ts LISTEN-PORT TARGET-PORT`. Two in a
 * row are what two ends of a tunnel on Node cannot do without.
 */
import { connect, createServer } from 'node:net'

const [port, target] = process.argv.slice(2).map(Number)
const there = { host: '127.0.0.1', port: target ?? 0, allowHalfOpen: true, noDelay: true }
createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
  const far = connect(there)
  for (const [from, to] of [
    [socket, far],
    [far, socket],
  ] as const) {
    from.pipe(to)
    from.on('error', () => to.destroy()) // whoever cuts one cuts the other
  }
}).listen(port, '127.0.0.1')
