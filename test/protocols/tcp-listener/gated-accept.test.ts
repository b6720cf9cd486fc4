import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { afterEach, describe, it } from 'node:test'
import type { NativeDescriptors } from '../../../src/native/load.ts'
import type { Trunk } from '../../../src/index.ts'
import { connectionSet, type ConnectionSet } from '../../../protocols/tcp/connection-set.ts'
import { nativeSource } from '../../../protocols/tcp-listener/acceptor-native.ts'
import { netSource } from '../../../protocols/tcp-listener/acceptor-net.ts'
import { listenerOver } from '../../../protocols/tcp-listener/server.ts'
import { tcpListen, type TcpIncoming, type TcpListening } from '../../../protocols/tcp-listener.ts'
import { eventually } from '../../helpers/eventually.ts'
import { dialLoopback, textOf } from '../../helpers/loopback.ts'
import { manualClock } from '../../helpers/manual-clock.ts'
import { trunkPair } from '../../helpers/trunk-pair.ts'

const connections = connectionSet()
const skip = connections === undefined ? 'the native addon is not built' : false

const open: { close(): void }[] = []
afterEach(() => {
  for (const thing of open.splice(0)) thing.close()
})

async function trunkOver(...args: Parameters<typeof listenerOver>): Promise<Trunk> {
  const [near] = await trunkPair({}, { protocols: [listenerOver(...args)] })
  open.push({
    close: () => {
      near.abort(new Error('over'))
    },
  })
  return near
}

async function dial(listening: TcpListening) {
  const socket = await dialLoopback(listening.address.port)
  open.push({ close: () => socket.destroy() })
  return socket
}

describe('gated accept', { skip }, () => {
  const set = connections as ConnectionSet
  const addon = set.native

  it('leaves connections in the kernel while no request waits, and serves them when one comes', async () => {
    const calls: string[] = []
    const near = await trunkOver({ allow: ['127.0.0.1:*'] }, () => nativeSource(set, counted(addon, calls)))
    const listening = await tcpListen(near, { port: 0 }, { accepts: 1 })
    const sockets = [await dial(listening), await dial(listening), await dial(listening)]
    // One is asked for ahead of the application; the application takes none.
    await eventually(() => inBacklog(listening.address.port) === 2, 'one was accepted and two were not')
    await near.ping()
    await near.ping()
    assert.equal(inBacklog(listening.address.port), 2)
    assert.ok(calls.length <= 4, `${calls.join()} for one request`)
    sockets[2]?.end('the third')
    const iterator = listening[Symbol.asyncIterator]()
    const taken: TcpIncoming[] = []
    for (const left of [1, 0, 0]) {
      const result = await iterator.next()
      if (result.done !== true) taken.push(result.value)
      await eventually(() => inBacklog(listening.address.port) === left, `${left} are left in the kernel`)
    }
    assert.equal(taken[2] === undefined ? '' : await textOf(taken[2].source), 'the third')
  })

  it('asks a kernel without descriptors again only after a pause, and then serves', async () => {
    const calls: string[] = []
    const clock = manualClock()
    const fault = { code: 'EMFILE' as string | undefined }
    const near = await trunkOver({ allow: ['127.0.0.1:*'], clock }, () =>
      nativeSource(set, counted(addon, calls, fault)),
    )
    const listening = await tcpListen(near, { port: 0 }, { accepts: 1 })
    await eventually(() => clock.pending === 1, 'it pauses')
    const first = listening[Symbol.asyncIterator]().next()
    await dial(listening)
    await near.ping()
    // The connection makes the listening socket readable all the time: a loop would be seen here.
    assert.equal(calls.length, 1)
    for (const [pause, want] of [
      [100, 2],
      [200, 3],
      [400, 4],
    ] as const) {
      clock.advance(pause - 1)
      assert.equal(calls.length, want - 1)
      clock.advance(1)
      assert.equal(calls.length, want)
    }
    fault.code = undefined
    clock.advance(800)
    assert.equal((await first).done, false)
  })

  it('does not listen to the kernel while it pauses', async () => {
    const calls: string[] = []
    const fault = { code: undefined as string | undefined }
    const clock = manualClock()
    const near = await trunkOver({ allow: ['127.0.0.1:*'], clock }, () =>
      nativeSource(set, counted(addon, calls, fault)),
    )
    const listening = await tcpListen(near, { port: 0 }, { accepts: 1 })
    await eventually(() => calls.length === 1, 'it has asked once, and waits')
    fault.code = 'ENFILE'
    await dial(listening)
    await eventually(() => clock.pending === 1, 'it pauses')
    for (let i = 0; i < 5; i += 1) await near.ping()
    assert.deepEqual(calls, ['accept', 'ready', 'accept'])
  })

  it('goes on at once after an error that belongs to one connection', async () => {
    const calls: string[] = []
    const clock = manualClock()
    const fault = { code: 'ECONNABORTED' as string | undefined }
    const near = await trunkOver({ allow: ['127.0.0.1:*'], clock }, () =>
      nativeSource(set, counted(addon, calls, fault)),
    )
    const listening = await tcpListen(near, { port: 0 }, { accepts: 1 })
    await eventually(() => calls.length === 1, 'it has asked once')
    fault.code = undefined
    await dial(listening)
    assert.equal((await listening[Symbol.asyncIterator]().next()).done, false)
    assert.equal(clock.pending, 0)
  })
})

describe('accept without the native addon', () => {
  it('holds at most a backlog of connections and resets the rest', async () => {
    const near = await trunkOver({ allow: ['127.0.0.1:*'], backlog: 4 }, () => netSource)
    const listening = await tcpListen(near, { port: 0 }, { accepts: 1 })
    const sockets = Array.from({ length: 8 }, () => {
      const socket = connect(listening.address.port, '127.0.0.1')
      return socket.on('error', () => undefined).resume()
    })
    open.push({
      close() {
        for (const socket of sockets) socket.destroy()
      },
    })
    const cut = () => sockets.filter((socket) => socket.destroyed).length
    await eventually(() => cut() === 3, 'three are too many')
    let served = 0
    for await (const pipe of listening) {
      pipe.abort(new Error('next'))
      served += 1
      if (served === 5) break
    }
    assert.equal(served, 5)
  })
})

/** The addon with its accept written down, and failing while `fault.code` is set. */
function counted(addon: NativeDescriptors, calls: string[], fault: { code: string | undefined } = { code: undefined }) {
  return {
    listen: addon.listen,
    localAddress: addon.localAddress,
    close: addon.close,
    socketError: addon.socketError,
    watch(fd: number, callback: (error?: string) => void) {
      return addon.watch(fd, (error) => {
        calls.push('ready')
        callback(error)
      })
    },
    accept(fd: number) {
      calls.push('accept')
      if (fault.code !== undefined) throw Object.assign(new Error(fault.code), { code: fault.code, syscall: 'accept' })
      return addon.accept(fd)
    },
  } satisfies NativeDescriptors
}

/**
 * Connections to `port` that stand and that no process has accepted: the kernel gives them no
 * inode.
 */
function inBacklog(port: number): number {
  const local = `0100007F:${port.toString(16).toUpperCase().padStart(4, '0')}`
  const rows = readFileSync('/proc/net/tcp', 'utf8')
    .split('\n')
    .map((row) => row.trim().split(/\s+/))
  // 01 is ESTABLISHED and 08 CLOSE_WAIT (it has ended its side already); the tenth column is the
  // inode.
  return rows.filter((row) => row[1] === local && (row[3] === '01' || row[3] === '08') && row[9] === '0').length
}
