import assert from 'node:assert/strict'
import { once } from 'node:events'
import { chmodSync, existsSync, lstatSync, writeFileSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { afterEach, describe, it } from 'node:test'
import { systemClock } from '../../src/runtime/clock.ts'
import type { TrunkError } from '../../src/contracts/errors.ts'
import { connect, defineProtocol, serve } from '../../src/index.ts'
import { DEFAULT_LIMITS } from '../../src/contracts/limits.ts'
import type { Link, Transport, TransportOptions } from '../../src/contracts/types.ts'
import { hybridVsock } from '../../transports/vsock.ts'
import { unix } from '../../transports/unix.ts'
import { transportConformance } from '../conformance/transport.ts'
import { eventually, keptAlive } from '../helpers/eventually.ts'
import { HybridDevice, type Script } from '../helpers/hybrid-device.ts'
import { readAll, readBytes, seededBytes } from '../helpers/link-traffic.ts'
import { manualClock } from '../helpers/manual-clock.ts'
import { countHandles, nothingLeft } from '../helpers/process-handles.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

const folder = temporaryFolder()
const options = { signal: new AbortController().signal, clock: systemClock, limits: DEFAULT_LIMITS }
const PORT = 5000
let machines = 0
const freshPath = (): string => join(folder, `vm${machines++}.sock`)
const guestOf = (path: string) => (port: number) => `${path}.guest-${port}`
const pathOf = (address: string): string => new URL(address.replace('vsock+unix:', 'unix:')).pathname

/**
 * The host dials, a program in the guest listens. The time to wait for a guest is short: the suite
 * dials where nobody listens.
 */
function towardsGuest(address = `vsock+unix://${freshPath()}?port=${PORT}`): Transport {
  const path = pathOf(address)
  const guestPath = guestOf(path)
  const transport = hybridVsock(address)
  return {
    ...transport,
    connect: (given) => transport.connect({ ...given, limits: { ...given.limits, connectTimeoutMs: 200 } }),
    async listen(given) {
      const guest = await unix({ path: guestPath(PORT) }).listen(given)
      const device = await HybridDevice.start({ path, guestPath, closesBothWays: false })
      return {
        address,
        [Symbol.asyncIterator]: () => guest[Symbol.asyncIterator](),
        async close() {
          await guest.close()
          device.close()
        },
      }
    },
  }
}

/** A program in the guest dials the host: the monitor connects to PATH_PORT. */
function towardsHost(address = `vsock+unix://${freshPath()}?port=${PORT}`): Transport {
  const monitor = unix({ path: `${pathOf(address)}_${PORT}` })
  return { ...hybridVsock(address), connect: (given: TransportOptions) => monitor.connect(given) }
}

// what fills up on the way are the buffers of two unix sockets; the double, which is in this
// process, must not fill its memory with what it passes on
const maxUnreadBytes = 2 * 1024 * 1024
transportConformance('vsock+unix, connecting to a guest', towardsGuest, { maxUnreadBytes })
transportConformance('vsock+unix, listening for a guest', towardsHost, { maxUnreadBytes })

async function* of(...chunks: Uint8Array[]): AsyncGenerator<Uint8Array, void, undefined> {
  yield* chunks
}

describe('vsock+unix addresses', () => {
  it('are a path, written as in unix addresses, and a port', () => {
    assert.equal(hybridVsock('vsock+unix:///run/vm.sock?port=52').address, 'vsock+unix:///run/vm.sock?port=52')
    assert.equal(hybridVsock({ path: '/run/a?b', port: 1 }).address, 'vsock+unix:///run/a%3Fb?port=1')
    const longest = `/${'x'.repeat(101)}`
    assert.equal(hybridVsock({ path: longest, port: 9999 }).address, `vsock+unix://${longest}?port=9999`)
  })

  it('that are anything else are refused, and shown', () => {
    const addresses = [
      ...['vsock+unix:///x', 'vsock+unix:///x?', 'vsock+unix:///x?port=', 'vsock+unix:///x?port=a', 'vsock+unix:'],
      ...[
        'vsock+unix:///x?port=0',
        'vsock+unix:///x?port=4294967295',
        'vsock+unix:///x?port=01',
        'vsock+unix://x?port=1',
      ],
      ...[
        'vsock+unix:///x?port=1&port=2',
        'vsock+unix:///x?port=1#',
        'vsock+unix:///?port=1',
        'vsock+unix:///x%?port=1',
      ],
      ...[
        'unix:///x?port=1',
        'vsock+unix:///x?PORT=1',
        `vsock+unix:///${'x'.repeat(102)}?port=9999`,
        'vsock://3:5',
        '',
      ],
    ]
    for (const address of addresses) {
      assert.throws(
        () => hybridVsock(address),
        (error: TrunkError) => {
          assert.equal(error.code, 'ERR_ADDRESS_INVALID', address)
          assert.ok(error.message.includes(JSON.stringify(address)), error.message)
          return true
        },
        address,
      )
    }
    const bad: unknown[] = [
      { path: '/x', port: 0 },
      { path: '', port: 1 },
      { path: `/${'x'.repeat(106)}`, port: 1 },
    ]
    for (const given of bad) assert.throws(() => hybridVsock(given as never), { code: 'ERR_BAD_ARGUMENT' })
  })
})

describe('vsock+unix, connecting', { timeout: 30_000 }, () => {
  // a test that fails leaves nothing running either
  const machinesToStop: (() => Promise<void>)[] = []
  afterEach(async () => {
    await Promise.all(machinesToStop.splice(0).map((stop) => stop()))
  })

  /** A device whose guest runs an echo on {@link PORT}, unless told otherwise. */
  async function machine(...scripts: Script[]) {
    const path = freshPath()
    const device = await HybridDevice.start({ path, guestPath: guestOf(path) })
    device.script(...scripts)
    const echo = createServer((socket) => socket.pipe(socket)).listen(guestOf(path)(PORT))
    await once(echo, 'listening')
    let stopped: Promise<void> | undefined
    const stop = (): Promise<void> => {
      stopped ??= (echo.close(), device.stop())
      return stopped
    }
    machinesToStop.push(stop)
    return { path, device, transport: hybridVsock({ path, port: PORT }), stop }
  }

  async function echoes(link: Link): Promise<void> {
    const sent = seededBytes(1, 100_000)
    const sending = link.sink(
      (async function* () {
        yield sent
        await new Promise(() => undefined)
      })(),
    )
    sending.catch(() => undefined) // ends with the abort
    assert.ok((await readBytes(link, sent.byteLength)).equals(sent))
    link.abort(new Error('over'))
    await link.close()
  }

  it('asks for the port in one line, and sends nothing before the answer', async () => {
    const before = countHandles()
    const { device, transport, stop } = await machine()
    const link = await transport.connect(options)
    assert.equal(link.peer, transport.address)
    assert.deepEqual(device.asked, [PORT])
    assert.deepEqual(device.early, [])
    await echoes(link)
    await stop()
    await nothingLeft(before)
  })

  /** What an answer may come as; the guest's bytes follow it. */
  const answers: Record<string, (socket: Socket, bytes: Buffer) => Promise<void>> = {
    'in one chunk with the bytes of the guest': async (socket, bytes) => {
      socket.end(Buffer.concat([Buffer.from('OK 1024\n'), bytes]))
    },
    'byte by byte': async (socket, bytes) => {
      for (const byte of Buffer.concat([Buffer.from('OK 4294967295\n'), bytes.subarray(0, 20)])) {
        await new Promise<void>((resolve) => socket.write(Uint8Array.of(byte), () => resolve()))
      }
      socket.end(bytes.subarray(20))
    },
    'cut before its newline': async (socket, bytes) => {
      await new Promise<void>((resolve) => socket.write('OK 7', () => resolve()))
      socket.end(Buffer.concat([Buffer.from('\n'), bytes]))
    },
    'with a newline as the first byte of the guest': async (socket, bytes) => {
      socket.end(Buffer.concat([Buffer.from('OK 1\n'), bytes]))
    },
  }
  for (const [how, send] of Object.entries(answers)) {
    for (const face of ['source', 'direct'] as const) {
      it(`loses no byte where the answer comes ${how} (${face})`, async () => {
        const bytes = Buffer.concat([Buffer.from('\nOK 5\n'), seededBytes(3, 200_000)])
        const { transport, stop } = await machine((socket) => void send(socket, bytes))
        const link = await transport.connect(options)
        const read = face === 'source' ? await readAll(link) : await readDirect(link)
        assert.ok(read.equals(bytes), `${read.byteLength} of ${bytes.byteLength} bytes`)
        await link.close()
        await stop()
      })
    }
  }

  it('keeps what comes between the answer and the first read, in order', async () => {
    const bytes = seededBytes(4, 100_000)
    const parts = [bytes.subarray(0, 10), bytes.subarray(10, 40_000), bytes.subarray(40_000)]
    let sent = 0
    const { transport, stop } = await machine((socket) => {
      const [first = bytes, ...others] = parts
      socket.write(Buffer.concat([Buffer.from('OK 1\n'), first]), () => sent++)
      for (const part of others) setImmediate(() => socket.write(part, () => sent++))
    })
    const link = await transport.connect(options)
    await eventually(() => sent === parts.length, 'everything is on its way')
    for (let turn = 0; turn < 10; turn++) await new Promise(setImmediate)
    assert.ok((await readBytes(link, bytes.byteLength)).equals(bytes))
    link.abort(new Error('over'))
    await Promise.all([link.close(), stop()])
  })

  it('waits for a guest that is not ready, however that shows, and tells nobody', async () => {
    const before = countHandles()
    const { device, transport, stop } = await machine(
      (socket) => socket.destroy(), // nobody accepts in the guest
      (socket) => socket.end('OK'), // the machine ends while it answers
      // the guest's driver is not there: nothing comes, and the attempt ends by its time
      () => undefined,
    )
    const limits = { ...DEFAULT_LIMITS, reconnectMinMs: 1, reconnectMaxMs: 2 }
    device.hangUp(3)
    const link = await transport.connect({ ...options, limits })
    assert.equal(device.asked.length, 4)
    await echoes(link)
    await stop()
    await nothingLeft(before)
  })

  it('waits for the machine itself to be started', async () => {
    const path = freshPath()
    const limits = { ...DEFAULT_LIMITS, reconnectMinMs: 1, reconnectMaxMs: 2 }
    await keptAlive(async () => {
      const connecting = hybridVsock({ path, port: PORT }).connect({ ...options, limits })
      // a socket that nobody answers, left by the last run
      const stale = createServer().listen(`${path}.stale`)
      await once(stale, 'listening')
      stale.close()
      writeFileSync(path, '')
      await new Promise(setImmediate)
      const guest = await unix({ path: guestOf(path)(PORT) }).listen(options)
      const device = await HybridDevice.start({ path, guestPath: guestOf(path) })
      const link = await connecting
      link.abort(new Error('over'))
      await Promise.all([link.close(), guest.close(), device.stop()])
    })
  })

  it('gives up at its deadline and not before, and says what it saw last [R-108] [R-061]', async () => {
    const before = countHandles()
    const cases: [string, RegExp, (device: HybridDevice) => Promise<void>][] = [
      ['no socket', /there is no such socket$/, (device) => device.stop()],
      ['hang-up', /nobody listens at that port of the guest$/, async () => undefined],
    ]
    for (const [name, lastSeen, prepare] of cases) {
      const { device, transport, stop } = await machine(...Array<Script>(1000).fill((socket) => socket.destroy()))
      await prepare(device)
      const clock = recordingClock()
      const connecting = transport.connect({ ...options, clock })
      let settled = false
      connecting.catch(() => (settled = true))
      await keptAlive(async () => {
        for (let round = 1; ; round++) {
          // the time limit of an attempt, then the wait after it: one at a time
          await eventually(() => settled || clock.delays.length === 2 * round, `${name}: wait ${round}`)
          if (settled) break
          assert.equal(clock.pending, 1)
          assert.ok(clock.now() < DEFAULT_LIMITS.connectTimeoutMs, `${name}: it tries on after its time`)
          clock.advance(clock.delays.at(-1) ?? 0)
        }
      })
      assert.ok(Math.abs(clock.now() - DEFAULT_LIMITS.connectTimeoutMs) < 1e-6, `${name}: gave up at ${clock.now()} ms`)
      const waits = clock.delays.filter((_, index) => index % 2 === 1)
      for (const [index, figure] of [100, 200, 400, 800, 1_600].entries()) {
        const wait = waits[index] ?? 0
        assert.ok(wait >= figure * 0.8 && wait <= figure * 1.2, `${name}: wait ${index} is ${wait} ms`)
      }
      await assert.rejects(connecting, (error: TrunkError) => {
        assert.equal(error.code, 'ERR_CONNECT_TIMEOUT', name)
        assert.equal(error.scope, 'link', name)
        assert.match(error.message, lastSeen)
        assert.ok(error.message.includes(transport.address) && error.message.includes('10000 ms'), error.message)
        return true
      })
      assert.equal(clock.pending, 0, name)
      await stop()
    }
    await nothingLeft(before)
  })

  it('stops waiting at once when its signal aborts', async () => {
    const before = countHandles()
    const { transport, stop } = await machine(...Array<Script>(100).fill((socket) => socket.destroy()))
    for (const early of [true, false]) {
      const controller = new AbortController()
      const reason = new Error('changed my mind')
      const clock = recordingClock()
      const connecting = transport.connect({ ...options, clock, signal: controller.signal })
      // in its attempt, or in the wait after it
      if (!early) await eventually(() => clock.delays.length === 2, 'a wait')
      controller.abort(reason)
      await assert.rejects(connecting, (error) => error === reason)
      assert.equal(clock.pending, 0)
    }
    await stop()
    await nothingLeft(before)
  })

  it('fails at once where waiting cannot help', async () => {
    const { path, transport, stop } = await machine()
    chmodSync(path, 0)
    // the connection is tried within the call
    const connecting = asNobody(() => transport.connect(options))
    await assert.rejects(connecting, { code: 'ERR_DENIED', scope: 'link' })
    await stop()
  })

  it('fails at once, with what was said, where something else answers', async () => {
    const before = countHandles()
    for (const said of [
      'HTTP/1.1 400 Bad Request\r\n',
      'OK\n',
      'OK x\n',
      'ok 1\n',
      '\n',
      `OK ${'1'.repeat(40)}\n`,
      'x'.repeat(100_000),
    ]) {
      const { transport, stop } = await machine((socket) => socket.write(said))
      await assert.rejects(transport.connect(options), (error: TrunkError) => {
        assert.equal(error.code, 'ERR_CONNECT_UNREACHABLE')
        assert.ok(error.message.length < 200, 'a bounded part of it')
        assert.ok(error.message.includes(JSON.stringify(said.split('\n')[0]!.slice(0, 20)).slice(1, -1)), error.message)
        return true
      })
      await stop()
    }
    await nothingLeft(before)
  })
})

describe('vsock+unix over a device that knows no half-close, as the real ones', { timeout: 30_000 }, () => {
  it('brings everything that was written before a close to the guest', async () => {
    const path = freshPath()
    const guest = await unix({ path: guestOf(path)(PORT) }).listen(options)
    const device = await HybridDevice.start({ path, guestPath: guestOf(path) })
    const bytes = seededBytes(8, 4 * 1024 * 1024)
    const link = await hybridVsock({ path, port: PORT }).connect(options)
    for await (const far of guest) {
      const reading = readAll(far)
      await link.sink(of(bytes))
      await link.close()
      assert.ok((await reading).equals(bytes))
      await far.close()
      break
    }
    await Promise.all([guest.close(), device.stop()])
  })

  for (const closer of ['host', 'guest'] as const) {
    it(
      `ends a session well at both ends when the ${closer} closes it, without waiting`,
      { timeout: 20_000 },
      async () => {
        const before = countHandles()
        const path = freshPath()
        const echo = defineProtocol({
          name: 'echo',
          parse: () => undefined,
          async handle(request) {
            const pipe = request.accept()
            await pipe.sink(pipe.source)
          },
        })
        const server = await serve(`unix://${guestOf(path)(PORT)}`, { protocols: [echo] })
        const device = await HybridDevice.start({ path, guestPath: guestOf(path) })
        const trunk = await connect(`vsock+unix://${path}?port=${PORT}`)
        const pipe = await trunk.open('echo')
        const bytes = seededBytes(9, 1024 * 1024)
        const received: Uint8Array[] = []
        const reading = (async () => {
          for await (const chunk of pipe.source) received.push(chunk.subarray())
        })()
        await pipe.sink([bytes])
        await reading
        await pipe.close()
        assert.ok(Buffer.concat(received).equals(bytes))
        const [far] = server.trunks
        assert.ok(far !== undefined)
        const started = performance.now()
        await (closer === 'host' ? trunk : far).close()
        await Promise.all([trunk.closed, far.closed])
        assert.ok(performance.now() - started < 1_000, 'the close waited for something')
        await server.close()
        await device.stop()
        await nothingLeft(before)
      },
    )
  }
})

describe('vsock+unix, listening', () => {
  it('makes the file that monitors connect to, for its owner only, and removes it', async () => {
    const path = freshPath()
    const listener = await hybridVsock({ path, port: PORT }).listen(options)
    assert.equal(listener.address, `vsock+unix://${path}?port=${PORT}`)
    assert.equal(lstatSync(`${path}_${PORT}`).mode & 0o7777, 0o600)
    await listener.close()
    assert.ok(!existsSync(`${path}_${PORT}`))
  })

  it('leaves what is no socket of its own alone', async () => {
    const path = freshPath()
    writeFileSync(`${path}_${PORT}`, 'mine')
    await assert.rejects(hybridVsock({ path, port: PORT }).listen(options), { code: 'ERR_ADDRESS_IN_USE' })
    assert.ok(existsSync(`${path}_${PORT}`))
  })
})

/** Runs `run` without the rights of root, which may connect to any socket. */
function asNobody<T>(run: () => T): T {
  if (process.geteuid?.() !== 0) return run()
  process.seteuid?.(65_534)
  try {
    return run()
  } finally {
    process.seteuid?.(0)
  }
}

/** A clock that is turned by hand and keeps what was asked of it. */
function recordingClock() {
  const clock = manualClock()
  const delays: number[] = []
  return {
    delays,
    now: () => clock.now(),
    after(delayMs: number, callback: () => void) {
      delays.push(delayMs)
      return clock.after(delayMs, callback)
    },
    advance: (ms: number) => {
      clock.advance(ms)
    },
    get pending() {
      return clock.pending
    },
  }
}

/** Everything that a link gives through its direct interface. */
function readDirect(link: Link): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  return new Promise((resolve, reject) => {
    link.direct?.start({
      data: (chunk) => chunks.push(chunk),
      end: () => {
        resolve(Buffer.concat(chunks))
      },
      fail: reject,
      drain: () => undefined,
    })
  })
}
