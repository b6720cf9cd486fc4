/**
 * A peer that accepts and then says nothing: its muxer answers every ping, so that only the pipe's
 * own time ends the wait. Time is turned by hand.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { overLink, type OpenOptions, type PipeRequest, type Trunk } from '../../src/index.ts'
import { filesystemClient, type FilesystemClient } from '../../protocols/filesystem.ts'
import { tcpConnect } from '../../protocols/tcp-connection.ts'
import { tcpListen } from '../../protocols/tcp-listener.ts'
import { memoryPair } from '../../transports/memory.ts'
import { manualClock, type ManualClock } from '../helpers/manual-clock.ts'
import { outcome, protocol } from '../helpers/protocols.ts'
import { noStrayRejections } from '../helpers/stray-rejections.ts'

noStrayRejections()

const untilOver = ({ signal }: PipeRequest): Promise<void> =>
  new Promise((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true })
  })

/** Handlers that leave their openers waiting, and one that does something from time to time. */
const handlers = (clock: ManualClock, name?: string) => [
  protocol(name ?? 'silent', untilOver),
  protocol('mute', async (request) => {
    request.accept()
    await untilOver(request)
  }),
  protocol('slow', async (request) => {
    const pipe = request.accept()
    while (pipe.writableLength > 0) {
      await new Promise<void>((resolve) => clock.after(40_000, resolve))
      await pipe.write(Uint8Array.of(1))
    }
  }),
]

/** A handler that works for its opener without end and has nothing to say yet. */
const working = (clock: ManualClock) =>
  protocol('filesystem', async (request) => {
    // as an upload is taken: the sender's end is what the work begins with
    if ((request.params as { op?: string }).op === 'write') for await (const _ of request.accept().source);
    while (!request.signal.aborted) {
      await new Promise<void>((resolve) => clock.after(10_000, resolve))
      request.working()
    }
  })

/** A handler that works for its opener without end: each second, or with nothing to read. */
const atWork = (clock: ManualClock) => [
  protocol('brief', async (request) => {
    for await (const _ of request.accept().source);
    while (!request.signal.aborted) {
      request.working()
      await new Promise<void>((resolve) => clock.after(1_000, resolve))
    }
  }),
  protocol('stopped', async (request) => {
    request.accept().stopReading()
    while (!request.signal.aborted) {
      request.working()
      await new Promise<void>((resolve) => clock.after(10_000, resolve))
    }
  }),
]

class Stand {
  readonly clock = manualClock()
  near!: Trunk
  far!: Trunk

  static async make(name?: string): Promise<Stand> {
    const stand = new Stand()
    const { clock } = stand
    const [a, b] = memoryPair({ clock })
    const protocols = name === 'working' ? [working(clock), ...atWork(clock)] : handlers(clock, name)
    ;[stand.near, stand.far] = await Promise.all([overLink(a, { clock }), overLink(b, { clock, protocols })])
    return stand
  }

  /** Time goes by, in steps in which pings are answered. */
  async pass(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += 2_500) {
      this.clock.advance(2_500)
      for (let turn = 0; turn < 10; turn++) await nextTurn()
    }
  }

  /** Milliseconds until `promise` settles, and how. */
  async waited(promise: Promise<unknown>, atMostMs = 200_000): Promise<[ms: number, outcome: string]> {
    const from = this.clock.now()
    let settled: string | undefined
    const look = outcome(promise).then((what) => (settled = what))
    for (let ms = 0; ms < atMostMs && settled === undefined; ms += 2_500) await this.pass(2_500)
    if (settled === undefined) return [Infinity, 'waits']
    return [this.clock.now() - from, await look]
  }

  async end(): Promise<void> {
    for (const trunk of [this.near, this.far]) trunk.abort(new Error('the test is over'))
    await this.pass(20_000)
    assert.equal(this.clock.pending, 0, 'a timer is left')
  }
}

const TIME: OpenOptions = { progressTimeoutMs: 60_000 }

describe('[R-397] an operation without progress', () => {
  const WAITS: readonly (readonly [string, (trunk: Trunk) => Promise<unknown>])[] = [
    ['for its answer', (trunk) => trunk.open('silent', undefined, TIME)],
    ['for its answer alone', (trunk) => trunk.open('silent', undefined, { answerTimeoutMs: 60_000 })],
    ['for bytes', async (trunk) => await (await trunk.open('mute', undefined, TIME)).source.next()],
    [
      'for leave to send',
      async (trunk) => await (await trunk.open('mute', undefined, TIME)).write(new Uint8Array(2 ** 20)),
    ],
    ['for the confirmation of its end', async (trunk) => await (await trunk.open('mute', undefined, TIME)).close()],
  ]
  for (const [what, call] of WAITS) {
    it(`ends with a code when it waits ${what}, in time and not before`, async () => {
      const stand = await Stand.make()
      const [ms, how] = await stand.waited(call(stand.near))
      assert.equal(how, 'ERR_PIPE_STALLED')
      assert.ok(ms >= 60_000 && ms <= 60_000 + 20_000, `${ms} ms`)
      await stand.end()
    })
  }

  it('waits for ever where no time is given, and where the peer does something from time to time', async () => {
    const stand = await Stand.make()
    const slow = await stand.near.open('slow', undefined, TIME)
    let bytes = 0
    const reading = (async () => {
      for await (const chunk of slow.source) bytes += chunk.byteLength
    })()
    reading.catch(() => undefined) // the session's end is its end
    const [ms] = await stand.waited(stand.near.open('silent'), 300_000)
    assert.equal(ms, Infinity)
    assert.ok(bytes >= 5, `${bytes} bytes`)
    await stand.end()
  })

  it('[R-851] is none where the handler works, by a short time too, and after it has stopped reading', async () => {
    for (const [name, progressTimeoutMs] of [
      ['brief', 4_000],
      ['stopped', 60_000],
    ] as const) {
      const stand = await Stand.make('working')
      const pipe = await stand.near.open(name, undefined, { progressTimeoutMs })
      const [ms, how] = await stand.waited(pipe.close(), 300_000)
      assert.deepEqual([name, ms, how], [name, Infinity, 'waits'])
      await stand.end()
    }
  })

  it('is none where it waits for its own reader, or for nobody', async () => {
    const stand = await Stand.make()
    const idle = await stand.near.open('mute', undefined, TIME)
    const slow = await stand.near.open('slow', undefined, TIME)
    await stand.pass(300_000)
    assert.equal(stand.near.status().pipes.length, 2)
    assert.ok(slow.readableLength > 0)
    idle.abort(new Error('enough'))
    await stand.end()
  })
})

describe('[R-398] the calls of the clients', () => {
  const FILES: readonly (readonly [string, number, (files: FilesystemClient) => Promise<unknown>])[] = [
    ['stat', 60_000, (files) => files.stat('a')],
    ['list', 60_000, (files) => files.list('a').next()],
    ['read', 60_000, (files) => files.read('a').next()],
    ['readSmall', 60_000, (files) => Promise.all([files.readSmall('a'), files.readSmall('b')])],
    ['write', 60_000, (files) => files.write('a', Uint8Array.of(1), { durable: false })],
    ['rename', 60_000, (files) => files.rename('a', 'b')],
    ['append', 60_000, (files) => files.write('a', Uint8Array.of(1), { append: true, durable: false })],
    ['mkdir', 60_000, (files) => files.mkdir('a')],
    ['setAttributes', 60_000, (files) => files.setAttributes('a', { mode: 0o600 })],
    ['write that waits for the disk', 3_600_000, (files) => files.write('a', Uint8Array.of(1))],
    ['sha256', 3_600_000, (files) => files.sha256('a')],
    ['remove', 3_600_000, (files) => files.remove('a')],
  ]
  for (const [what, timeoutMs, call] of FILES) {
    it(`end with a code where the peer says nothing: ${what}`, async () => {
      const stand = await Stand.make('filesystem')
      const [ms, how] = await stand.waited(call(filesystemClient(stand.near)), timeoutMs * 1.5)
      assert.equal(how, 'ERR_PIPE_STALLED')
      assert.ok(ms >= timeoutMs && ms <= timeoutMs * 1.3, `${ms} ms`)
      await stand.end()
    })

    it(`[R-707] wait for work that goes on, however long it takes: ${what}`, async () => {
      const stand = await Stand.make('working')
      const [ms, how] = await stand.waited(call(filesystemClient(stand.near)), timeoutMs * 2)
      assert.deepEqual([ms, how], [Infinity, 'waits'])
      await stand.end()
    })
  }

  it('end with a code where the peer says nothing: tcpConnect and tcpListen', async () => {
    for (const [name, call] of [
      ['tcp-connection', (trunk: Trunk) => tcpConnect(trunk, { host: 'a', port: 1 })],
      ['tcp-listener', (trunk: Trunk) => tcpListen(trunk, { port: 1 })],
    ] as const) {
      const stand = await Stand.make(name)
      const [, how] = await stand.waited(call(stand.near))
      assert.equal(how, 'ERR_PIPE_STALLED', name)
      await stand.end()
    }
  })

  it('take the time that they are given', async () => {
    const stand = await Stand.make('filesystem')
    const [ms] = await stand.waited(filesystemClient(stand.near, { progressTimeoutMs: 5_000 }).stat('a'))
    assert.ok(ms < 10_000, `${ms} ms`)
    assert.throws(() => filesystemClient(stand.near, { progressTimeoutMs: 0 }), { code: 'ERR_BAD_ARGUMENT' })
    assert.equal(await outcome(stand.near.open('mute', undefined, { answerTimeoutMs: NaN })), 'ERR_BAD_ARGUMENT')
    await stand.end()
  })
})
