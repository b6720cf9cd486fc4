/** The poller of the native addon: bytes of many sockets by one call. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { fstatSync } from 'node:fs'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { afterEach, describe, it } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { Worker } from 'node:worker_threads'
import { nativeStatus, READABLE, WRITABLE, type NativeAddon, type NativePoller } from '../../src/native/load.ts'
import { resetSocket } from '../../protocols/tcp/reset-socket.ts'
import { eventually, steady } from '../helpers/eventually.ts'
import { countHandles, nothingLeft } from '../helpers/process-handles.ts'

const LOOPBACK = { family: 'ipv4', address: '127.0.0.1', port: 0 } as const
const status = nativeStatus()
const skip = 'problem' in status ? status.problem : false

describe('the poller', { skip }, () => {
  const native = 'native' in status ? status.native : (undefined as never as NativeAddon)
  const open: (() => void)[] = []
  afterEach(() => {
    for (const close of open.splice(0)) close()
  })

  interface Pair {
    readonly fd: number
    /** The other end, Node's. */
    readonly other: Socket
  }

  function poller(): NativePoller {
    const made = native.poller()
    open.push(() => {
      made.close()
    })
    return made
  }

  /**
   * Connections to one listening socket; the descriptors are the test's until they are in a poller.
   */
  async function pairs(count: number): Promise<Pair[]> {
    const listening = native.listen(LOOPBACK, count + 1)
    const { port } = native.localAddress(listening)
    const made: Pair[] = []
    for (let index = 0; index < count; index++) {
      const other = connect({ host: '127.0.0.1', port, allowHalfOpen: true })
      other.on('error', () => undefined)
      open.push(() => other.destroy())
      await once(other, 'connect')
      const accepted = native.accept(listening)
      assert.ok(accepted)
      made.push({ fd: accepted.fd, other })
    }
    native.close(listening)
    return made
  }

  /** What a read tells, as text. */
  function told(from: NativePoller, room = 16): string[] {
    const { HAS_FAILED, POLLER_READ_BYTES, RECORD_FIELDS, WAS_READ, WAS_WRITABLE } = native.constants
    const records = new Int32Array(RECORD_FIELDS * room)
    const into = new Uint8Array(POLLER_READ_BYTES * room)
    const count = from.read(into, 0, records)
    let at = 0
    return Array.from({ length: count }, (_, index) => {
      const [id = 0, what = 0, value = 0] = records.subarray(index * RECORD_FIELDS)
      const words = [String(id)]
      if ((what & WAS_READ) !== 0) {
        words.push(value > 8 ? `${value} bytes` : `"${Buffer.from(into.subarray(at, at + value)).toString()}"`)
        at += value
      }
      if ((what & WAS_WRITABLE) !== 0) words.push('writable')
      if ((what & HAS_FAILED) !== 0) words.push(String(value))
      return words.join(' ')
    })
  }

  async function toldSoon(from: NativePoller, count: number): Promise<string[]> {
    const all: string[] = []
    await eventually(() => (all.push(...told(from)), all.length >= count), `${count} are told of`)
    return all.sort()
  }

  it('reads from all that are ready, one behind the other, and tells an end and a failure apart', async () => {
    const set = poller()
    const [a, b, c, d] = await pairs(4)
    a!.other.write('one')
    b!.other.write('two')
    c!.other.end()
    await once(c!.other, 'finish')
    resetSocket(d!.other)
    await once(d!.other, 'close')
    assert.deepEqual(told(set), [])
    for (const [index, pair] of [a, b, c, d].entries()) set.want(pair!.fd, index + 1, READABLE)
    assert.deepEqual(await toldSoon(set, 4), ['1 "one"', '2 "two"', '3 ""', '4 -104'])
  })

  it('tells an error only behind the bytes that came before it', async () => {
    const set = poller()
    const [pair] = await pairs(1)
    pair!.other.write('last')
    await steady(() => pair!.other.bytesWritten)
    resetSocket(pair!.other)
    set.want(pair!.fd, 7, READABLE)
    const said = await toldSoon(set, 2)
    assert.deepEqual(said, ['7 "last"', '7 -104'])
  })

  it('reads first from whoever was not reached the last time [R-340]', async () => {
    const set = poller()
    const made = await pairs(40)
    for (const [index, { fd, other }] of made.entries()) {
      other.write(Buffer.alloc(1024 * 1024))
      set.want(fd, index, READABLE)
    }
    await steady(() => made.reduce((sum, { other }) => sum + other.bytesWritten - other.writableLength, 0))
    const reached = new Set<string>()
    for (let round = 0; round < 3; round++) {
      const said = told(set)
      assert.equal(said.length, 16)
      for (const each of said) reached.add(each.split(' ')[0] ?? '')
    }
    assert.equal(reached.size, 40)
  })

  it('is not woken again and again by a connection whose ends have both come and that nobody reads [R-341]', async () => {
    const set = poller()
    const [pair] = await pairs(1)
    pair!.other.end('rest')
    native.shutdown(pair!.fd)
    await once(pair!.other.resume(), 'close')
    set.want(pair!.fd, 1, 0)
    assert.deepEqual(told(set), ['1'])
    for (let round = 0; round < 3; round++) assert.deepEqual(told(set), [])
    set.want(pair!.fd, 1, READABLE)
    assert.deepEqual([...told(set), ...told(set)], ['1 "rest"', '1 ""'])
  })

  it('tells of a reset although nobody reads [R-342]', async () => {
    const set = poller()
    const [pair] = await pairs(1)
    set.want(pair!.fd, 1, 0)
    resetSocket(pair!.other)
    assert.deepEqual(await toldSoon(set, 1), ['1 -104'])
  })

  it('keeps what came before a reset for whoever reads again, and the reset behind it [R-347]', async () => {
    const set = poller()
    const [pair] = await pairs(1)
    set.want(pair!.fd, 1, 0)
    pair!.other.write('unread')
    await steady(() => pair!.other.bytesWritten)
    resetSocket(pair!.other)
    assert.deepEqual(await toldSoon(set, 1), ['1'])
    for (let round = 0; round < 3; round++) assert.deepEqual(told(set), [])
    set.want(pair!.fd, 1, READABLE)
    assert.deepEqual([...told(set), ...told(set)], ['1 "unread"', '1 -104'])
  })

  it('sends what the socket takes, and tells when it takes more', async () => {
    const set = poller()
    const [pair] = await pairs(1)
    pair!.other.pause()
    const chunks = Array.from({ length: 150 }, (_, index) => new Uint8Array(64 * 1024).fill(index))
    let sent = native.send(pair!.fd, chunks)
    assert.ok(sent > 0 && sent < 150 * 64 * 1024, String(sent))
    // the kernel makes more room for a while, and then does not
    await steady(() => (sent += native.send(pair!.fd, chunks)))
    assert.equal(native.send(pair!.fd, chunks), 0)
    set.want(pair!.fd, 1, WRITABLE)
    assert.deepEqual(told(set), [])
    let received = 0
    pair!.other.on('data', (chunk: Buffer) => (received += chunk.length)).resume()
    assert.deepEqual([...new Set(await toldSoon(set, 1))], ['1 writable'])
    sent += native.send(pair!.fd, [new Uint8Array(0), new Uint8Array(3)])
    native.shutdown(pair!.fd)
    await once(pair!.other, 'end')
    assert.equal(received, sent)
    assert.throws(() => native.send(pair!.fd, [new Uint8Array(1)]), { code: 'EPIPE', syscall: 'send' })
  })

  it('closes what it drops: with a reset, or with an end', async () => {
    const handles = countHandles()
    const set = native.poller()
    const [cut, ended] = await pairs(2)
    const seen = [cut!, ended!].map(
      ({ other }) =>
        new Promise((resolve) => {
          other.resume().once('end', () => {
            resolve('end')
          })
          other.once('error', (error: NodeJS.ErrnoException) => {
            resolve(error.code)
          })
        }),
    )
    set.want(cut!.fd, 1, READABLE)
    set.want(ended!.fd, 2, 0)
    set.drop(cut!.fd, true)
    set.drop(cut!.fd, true)
    set.drop(ended!.fd, false)
    assert.deepEqual(await Promise.all(seen), ['ECONNRESET', 'end'])
    set.close()
    set.close()
    assert.throws(() => told(set), { code: 'ERR_INVALID_ARG_VALUE' })
    for (const { other } of [cut!, ended!]) other.destroy()
    await nothingLeft(handles)
  })

  it('takes no number that is not whole or of 31 bits, and another object’s methods neither [R-456]', async () => {
    const set = poller()
    const [pair] = await pairs(1)
    const { fd } = pair!
    const watch = native.watch(fd, () => undefined)
    const wrong = { code: 'ERR_INVALID_ARG_VALUE' }
    for (const bad of [NaN, Infinity, -Infinity, fd + 0.5, fd + 2 ** 32, -1, '0', null, undefined]) {
      const number = bad as number
      for (const call of [
        () => set.want(number, 1, READABLE),
        () => set.want(fd, number, READABLE),
        () => set.drop(number, false),
        () => native.send(number, []),
        () => native.shutdown(number),
        () => native.tune(number, 0),
        () => native.tune(fd, number),
        () => native.close(number),
        () => native.watch(number, () => undefined),
        () => native.accept(number),
        () => native.localAddress(number),
        () => native.socketError(number),
        () => native.writeError(number),
        () => native.read(number, new Uint8Array(1)),
        () => native.write(number, []),
        () => native.keepLines(number),
        () => native.replace(number, fd),
        () => native.replace(fd, number),
        () => native.name(number, Buffer.from('x')),
        () => native.listen(LOOPBACK, number),
        () => native.listen({ ...LOOPBACK, port: number }, 1),
        () => native.connect({ ...LOOPBACK, port: 1 }, number),
      ]) {
        // a port, a number of connections or a time may be large
        if (bad === fd + 2 ** 32 && /timeout|connect/.test(String(call))) continue
        assert.throws(call, wrong, `${String(call)} with ${String(bad)}`)
      }
    }
    for (const events of [NaN, 0.5, 1 + 2 ** 32, Infinity]) {
      assert.throws(() => set.want(fd, 1, events), wrong)
      assert.throws(() => watch.start(events), wrong)
    }
    for (const offset of [NaN, 0.5, 2 ** 32, -1]) {
      assert.throws(() => set.read(new Uint8Array(1024 * 1024), offset, new Int32Array(3)), wrong)
    }
    assert.ok(fstatSync(0), 'stdin is open')
    for (const other of [watch, {}, undefined, new Map(), native]) {
      assert.throws(() => set.want.call(other as never, fd, 1, READABLE), wrong)
      assert.throws(() => set.drop.call(other as never, fd, true), wrong)
      assert.throws(() => set.read.call(other as never, new Uint8Array(1024 * 1024), 0, new Int32Array(3)), wrong)
      assert.throws(() => set.close.call(other as never), wrong)
    }
    for (const other of [set, {}, undefined, new Map(), native]) {
      assert.throws(() => watch.start.call(other as never, READABLE), wrong)
      assert.throws(() => watch.stop.call(other as never), wrong)
      assert.throws(() => watch.close.call(other as never), wrong)
    }
    watch.close()
    native.close(fd)
  })

  it('closes its sockets when it was dropped and is collected [R-457]', async () => {
    const [pair] = await pairs(1)
    const { fd, other } = pair!
    const ended = once(other.resume(), 'end')
    ;(() => {
      native.poller().want(fd, 1, READABLE)
    })()
    setFlagsFromString('--expose-gc')
    const collect = runInNewContext('gc') as () => void
    let over = false
    void ended.then(() => (over = true))
    await eventually(() => (collect(), over), 'the connection is closed')
  })

  it('closes nothing of somebody else’s whose number was its socket’s [R-458]', async () => {
    for (const end of ['close', 'drop'] as const) {
      const set = poller()
      const [pair] = await pairs(1)
      set.want(pair!.fd, 1, READABLE)
      native.close(pair!.fd)
      const heirs: number[] = []
      while (heirs.at(-1) !== pair!.fd && heirs.length < 50) heirs.push(native.listen(LOOPBACK, 1))
      assert.equal(heirs.at(-1), pair!.fd, 'the number is given anew')
      if (end === 'drop') assert.throws(() => set.drop(pair!.fd, true), { code: 'EBADF' })
      set.close()
      assert.ok(native.localAddress(pair!.fd).port > 0)
      for (const heir of heirs) native.close(heir)
    }
  })

  it('sends nothing of memory that was taken away while it looked at the chunks [R-459]', async () => {
    const [pair] = await pairs(1)
    const { fd, other } = pair!
    const first = new Uint8Array(64 * 1024).fill(1)
    const chunks = [first, Buffer.from('the rest')]
    Object.defineProperty(chunks, 1, {
      get: () => {
        structuredClone(first, { transfer: [first.buffer] })
        return Buffer.from('the rest')
      },
    })
    const heard = once(other, 'data') as Promise<[Buffer]>
    assert.equal(native.send(fd, chunks), 8)
    assert.equal((await heard)[0].toString(), 'the rest')
    native.close(fd)
  })

  it('leaves no connection open when its thread ends [R-343]', async () => {
    const server = createServer({ allowHalfOpen: true }).listen(0, '127.0.0.1')
    open.push(() => server.close())
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const code = `
      const { workerData, parentPort } = require('node:worker_threads')
      const native = require(workerData.path)
      const poller = native.poller()
      poller.want(native.connect({ family: 'ipv4', address: '127.0.0.1', port: workerData.port }, 1), 1, 1)
      native.watch(poller.fd, () => undefined).start()
      parentPort.postMessage('it is in')`
    const worker = new Worker(code, { eval: true, workerData: { path: 'path' in status ? status.path : '', port } })
    const [[socket]] = (await Promise.all([once(server, 'connection'), once(worker, 'message')])) as [[Socket], unknown]
    open.push(() => socket.destroy())
    const over = once(socket.resume(), 'end')
    await worker.terminate()
    await over
  })
})
