import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { systemClock } from '../../src/runtime/clock.ts'
import { TrunkError } from '../../src/contracts/errors.ts'
import { connect, defineProtocol, serve } from '../../src/index.ts'
import { DEFAULT_LIMITS } from '../../src/contracts/limits.ts'
import { nativeStatus } from '../../src/native/load.ts'
import type { Link } from '../../src/contracts/types.ts'
import { MAX_UNTAKEN_LINKS } from '../../transports/internal/link-listener.ts'
import { vsock, type VsockOptions } from '../../transports/vsock.ts'
import { transportConformance } from '../conformance/transport.ts'
import { eventually } from '../helpers/eventually.ts'
import { readAll, readBytes, seededBytes } from '../helpers/link-traffic.ts'
import { manualClock } from '../helpers/manual-clock.ts'
import { countHandles, nothingLeft } from '../helpers/process-handles.ts'
import { noVsockLoopback } from '../helpers/vsock-loopback.ts'
import { typeScript } from '../helpers/typescript.ts'

const options = { signal: new AbortController().signal, clock: systemClock, limits: DEFAULT_LIMITS }
const missing = noVsockLoopback()

if (missing === undefined) transportConformance('vsock', (address) => vsock(address ?? 'vsock://local:0'))
else describe('transport conformance: vsock', () => it('runs where vsock has a loopback', { skip: missing }))

/** Both ends of a fresh connection, and the way to be rid of them. */
async function linkPair(at: VsockOptions = { cid: 'local', port: 0 }) {
  const listener = await vsock(at).listen(options)
  const near = await vsock(dialled(listener.address)).connect(options)
  for await (const far of listener) {
    const done = async (): Promise<void> => {
      near.abort(new Error('over'))
      far.abort(new Error('over'))
      await Promise.all([near.close(), far.close(), listener.close()])
    }
    return { near, far, listener, done }
  }
  throw new Error('the listener ended')
}

const dialled = (address: string): string => address.replace('any', 'local')

async function* of(...chunks: Uint8Array[]): AsyncGenerator<Uint8Array, void, undefined> {
  yield* chunks
}

const reset = (error: unknown): true => {
  assert.ok(error instanceof TrunkError)
  assert.equal(error.code, 'ERR_LINK_RESET')
  assert.equal(error.scope, 'link')
  assert.ok(error.cause instanceof Error && 'code' in error.cause, 'with the system’s code as cause')
  return true
}

describe('vsock', { skip: missing ?? false, timeout: 60_000 }, () => {
  it('tells the port that the kernel chose, and the peer by CID and port [R-114] [R-124]', async () => {
    const { near, far, listener, done } = await linkPair()
    assert.match(listener.address, /^vsock:\/\/1:[1-9]\d{3,}$/)
    assert.equal(near.peer, listener.address)
    assert.match(far.peer ?? '', /^vsock:\/\/1:[1-9]\d+$/)
    assert.notEqual(far.peer, near.peer)
    await done()
  })

  it('listens for any CID of the machine', async () => {
    const { near, far, listener, done } = await linkPair({ port: 0 })
    assert.match(listener.address, /^vsock:\/\/any:[1-9]\d+$/)
    await near.sink(of(Buffer.from('to any')))
    assert.equal((await readAll(far)).toString(), 'to any')
    await done()
  })

  it('takes ports beyond 31 bits', async () => {
    const { near, far, listener, done } = await linkPair({ cid: 'local', port: 4_294_967_294 })
    assert.equal(listener.address, 'vsock://1:4294967294')
    assert.equal(near.peer, 'vsock://1:4294967294')
    await near.sink(of(Buffer.from('high')))
    assert.equal((await readAll(far)).toString(), 'high')
    await done()
  })

  it('lets in the CIDs of its policy, and resets the others at once [R-124]', async () => {
    const asked: { cid: number; port: number }[] = []
    const policies: [VsockOptions['allow'], boolean][] = [
      [['local'], true],
      [[1, 3], true],
      [[3], false],
      [[], false],
      [(peer) => (asked.push(peer), peer.cid === 1), true],
      [() => false, false],
      [() => Promise.resolve(true) as never, false],
      [() => assert.fail('a policy with a bug'), false],
    ]
    for (const [index, [allow, lets]] of policies.entries()) {
      const before = countHandles()
      const listener = await vsock({ port: 0, ...(allow === undefined ? {} : { allow }) }).listen(options)
      const accepted: Link[] = []
      const accepting = (async () => {
        for await (const link of listener) accepted.push(link)
      })()
      const link = await vsock(dialled(listener.address)).connect(options)
      if (lets) {
        await eventually(() => accepted.length === 1, `policy ${index} lets in`)
        await link.sink(of(Buffer.from('hello')))
        assert.equal((await readAll(accepted[0]!)).toString(), 'hello')
      } else {
        await assert.rejects(readAll(link), reset, `policy ${index} resets`)
        assert.equal(accepted.length, 0, `policy ${index}`)
      }
      for (const each of [link, ...accepted]) each.abort(new Error('over'))
      await Promise.all([link.close(), ...accepted.map((each) => each.close()), listener.close(), accepting])
      await nothingLeft(before)
    }
    assert.equal(asked.length, 1)
    assert.equal(asked[0]?.cid, 1)
    assert.ok(asked[0].port > 0)
  })

  it('tells an end from a reset: what ended, ends; an abort is ERR_LINK_RESET [R-124]', async () => {
    const ended = await linkPair()
    await ended.near.sink(of(Buffer.from('all of it')))
    assert.equal((await readAll(ended.far)).toString(), 'all of it')
    await ended.done()

    const aborted = await linkPair()
    aborted.near.abort(new Error('enough'))
    await assert.rejects(readAll(aborted.far), reset)
    await aborted.done()

    // with bytes under way that are all read before the end that is none
    const cut = await linkPair()
    const writing = cut.near.sink(
      (async function* () {
        yield Buffer.alloc(1000)
        await new Promise(() => undefined)
      })(),
    )
    writing.catch(() => undefined) // ends with the abort
    await eventually(() => true, 'a turn')
    const chunks: number[] = []
    const reading = (async () => {
      for await (const chunk of cut.far.source) chunks.push(chunk.byteLength)
    })()
    await eventually(() => chunks.length > 0, 'the bytes')
    cut.near.abort(new Error('enough'))
    await assert.rejects(reading, reset)
    assert.equal(
      chunks.reduce((sum, length) => sum + length, 0),
      1000,
    )
    await cut.done()
  })

  it('tells a reset through the direct interface, too', async () => {
    const { near, far, done } = await linkPair()
    const told = new Promise<Error | 'end'>((resolve) => {
      far.direct?.start({
        data: () => undefined,
        end: () => {
          resolve('end')
        },
        fail: resolve,
        drain: () => undefined,
      })
    })
    near.abort(new Error('enough'))
    reset(await told)
    await done()
  })

  it('takes the peer’s close for an end where our own side has ended before', async () => {
    const { near, far, done } = await linkPair()
    const answer = seededBytes(3, 300_000)
    await near.sink(of(Buffer.from('a request')))
    assert.equal((await readAll(far)).toString(), 'a request')
    const reading = readAll(near)
    await far.sink(of(answer))
    await far.close()
    assert.ok((await reading).equals(answer))
    await done()
  })

  it('notices a peer that was killed, while reading and while writing [R-130]', async () => {
    const before = countHandles()
    const listener = await vsock('vsock://local:0').listen(options)
    const path = 'path' in nativeStatus() ? (nativeStatus() as { path: string }).path : ''
    const [, port = ''] = /:(\d+)$/.exec(listener.address) ?? []
    const code = `
      const native = require(${JSON.stringify(path)})
      native.connect({ family: 'vsock', address: '1', port: ${port} }, 5000)
      setInterval(() => {}, 1000)`
    const child = spawn(process.execPath, ['-e', code], { stdio: 'ignore' })
    const links = listener[Symbol.asyncIterator]()
    const { value: link } = (await links.next()) as { value: Link }
    const outcomes = Promise.allSettled([
      readAll(link),
      link.sink(
        (async function* () {
          for (;;) yield Buffer.alloc(64 * 1024)
        })(),
      ),
    ])
    child.kill('SIGKILL')
    await once(child, 'exit')
    for (const outcome of await outcomes) {
      assert.equal(outcome.status, 'rejected')
      reset(outcome.reason)
    }
    await Promise.all([link.close(), listener.close()])
    await nothingLeft(before)
  })

  it('says that nobody listens [R-108]', async () => {
    const before = countHandles()
    const listener = await vsock('vsock://local:0').listen(options)
    await listener.close()
    await assert.rejects(vsock(listener.address).connect(options), (error: TrunkError) => {
      assert.equal(error.code, 'ERR_CONNECT_REFUSED')
      assert.match(error.message, /nobody listens there$/)
      assert.equal((error.cause as NodeJS.ErrnoException).code, 'ECONNRESET')
      return true
    })
    await nothingLeft(before)
  })

  it('says that no machine has the CID, and that a CID is not of this machine', async () => {
    // the guest of test:vm has no device beside the loopback: nothing leaves it
    if (nativeLocalCid() !== undefined) {
      await assert.rejects(vsock('vsock://77:5000').listen(options), { code: 'ERR_ADDRESS_UNAVAILABLE' })
    }
    if (nativeLocalCid() === 1) {
      await assert.rejects(vsock('vsock://77:5000').connect(options), { code: 'ERR_CONNECT_UNREACHABLE' })
    }
  })

  it('gives up a dial whose time has passed, and one whose signal aborts, and leaves nothing', async () => {
    const before = countHandles()
    const listener = await vsock('vsock://local:0').listen(options)
    const clock = manualClock()
    const dialling = vsock(listener.address).connect({ ...options, clock })
    // before the event loop turns, the kernel's answer has not been heard
    clock.advance(DEFAULT_LIMITS.connectTimeoutMs)
    await assert.rejects(dialling, { code: 'ERR_CONNECT_TIMEOUT', scope: 'link' })
    const controller = new AbortController()
    const reason = new Error('changed my mind')
    const aborted = vsock(listener.address).connect({ ...options, clock, signal: controller.signal })
    controller.abort(reason)
    await assert.rejects(aborted, (error) => error === reason)
    assert.equal(clock.pending, 0)
    await listener.close()
    await nothingLeft(before)
  })

  it('holds a bounded number of links that nobody takes, and resets further ones [R-109]', async () => {
    const before = countHandles()
    const listener = await vsock('vsock://local:0').listen(options)
    const links: Link[] = []
    const over: unknown[] = []
    for (let i = 0; i < MAX_UNTAKEN_LINKS + 10; i++) {
      const link = await vsock(listener.address).connect(options)
      links.push(link)
      readAll(link).catch((error: unknown) => over.push(error))
    }
    await eventually(() => over.length === 10, 'ten are reset')
    over.forEach(reset)
    await listener.close()
    await eventually(() => over.length === links.length, 'the others go with the listener')
    await Promise.all(links.map((link) => link.close()))
    await nothingLeft(before)
  })

  it('carries a whole session, whose end is clean on both sides [R-117]', async () => {
    const before = countHandles()
    const echo = defineProtocol({
      name: 'echo',
      parse: () => undefined,
      async handle(request) {
        const pipe = request.accept()
        await pipe.sink(pipe.source)
      },
    })
    const server = await serve(vsock({ cid: 'local', port: 0, allow: ['local'] }), { protocols: [echo] })
    const trunk = await connect(server.address)
    const pipe = await trunk.open('echo')
    const bytes = seededBytes(21, 4 * 1024 * 1024)
    const received: Uint8Array[] = []
    const reading = (async () => {
      for await (const chunk of pipe.source) received.push(chunk.subarray())
    })()
    await pipe.sink([bytes])
    await reading
    await pipe.close()
    assert.ok(Buffer.concat(received).equals(bytes))
    await trunk.close()
    await trunk.closed
    await server.close()
    await nothingLeft(before)
  })

  it('keeps a process alive while it listens, and lets it end when it is closed [R-127]', async () => {
    const module = (name: string): string => JSON.stringify(new URL(`../../${name}`, import.meta.url).href)
    const code = `
      import { vsock } from ${module('transports/vsock.ts')}
      import { systemClock } from ${module('src/runtime/clock.ts')}
      import { DEFAULT_LIMITS } from ${module('src/contracts/limits.ts')}
      const options = { signal: new AbortController().signal, clock: systemClock, limits: DEFAULT_LIMITS }
      const listener = await vsock('vsock://local:0').listen(options)
      process.stdin.once('data', () => { process.stdin.unref?.(); listener.close() })
      console.log(listener.address)`
    const root = fileURLToPath(new URL('../../', import.meta.url))
    const args = typeScript('--input-type=module', '-e', code)
    const child = spawn(process.execPath, args, { cwd: join(root), stdio: ['pipe', 'pipe', 'inherit'] })
    const [address] = (await once(child.stdout, 'data')) as [Buffer]
    const link = await vsock(address.toString().trim()).connect(options)
    child.stdin.end('close')
    assert.deepEqual(await once(child, 'exit'), [0, null])
    await assert.rejects(readBytes(link, 1), reset)
    await link.close()
  })
})

function nativeLocalCid(): number | undefined {
  const status = nativeStatus()
  if ('problem' in status) return undefined
  const cid = status.native.localCid()
  return cid === 0xffff_ffff ? 1 : cid
}
