/**
 * What a program hands in breaks its contract: each breach of a link, a transport, a listener, a
 * source and a callback, at each place where such a thing is handed in. Whatever it does, every
 * call settles in time and with a code, nothing is left, and a server goes on. Time is turned by
 * hand.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { describe, it } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import {
  connect,
  overLink,
  serve,
  TrunkError,
  type Link,
  type Server,
  type Trunk,
  type ConnectOptions,
  type LinkOptions,
  type ServeOptions,
} from '../../src/index.ts'
import { memoryPair } from '../../transports/memory.ts'
import { CALL_BREACHES, FedListener, LINK_BREACHES, transportOf } from '../helpers/foreign-objects.ts'
import { manualClock, type ManualClock } from '../helpers/manual-clock.ts'
import { collect, echo, outcome } from '../helpers/protocols.ts'
import { noStrayRejections } from '../helpers/stray-rejections.ts'
import { trunkPair } from '../helpers/trunk-pair.ts'
import { typeScript } from '../helpers/typescript.ts'

noStrayRejections()

/** Turns in which an in-process line does whatever it does without time. */
const TURNS = 20

/**
 * Settles `promise`, letting time pass where it waits for that; fails where 60 s are not enough.
 */
async function inTime<T>(clock: ManualClock, promise: Promise<T>): Promise<T> {
  const watched = { over: false }
  const done = (): void => {
    watched.over = true
  }
  promise.then(done, done)
  for (let ms = 0; ms < 60_000; ms += 500) {
    for (let turn = 0; turn < TURNS && !watched.over; turn++) await nextTurn()
    if (watched.over) return await promise
    clock.advance(500)
  }
  throw new Error('not within a minute')
}

/** No timer is left once a link that had to be given up was. */
async function nothingLeft(clock: ManualClock): Promise<void> {
  for (let ms = 0; ms < 10_000 && clock.pending > 0; ms += 500) {
    for (let turn = 0; turn < TURNS; turn++) await nextTurn()
    clock.advance(500)
  }
  assert.equal(clock.pending, 0, 'a timer is left')
}

/** What comes of a trunk: an echo, and then its own close and that of its peer. */
async function useOf(clock: ManualClock, trunk: Trunk): Promise<string> {
  const used = await inTime(
    clock,
    outcome(
      (async () => {
        const pipe = await trunk.open('echo')
        await pipe.write(Buffer.alloc(20_000, 1))
        await pipe.closeWrite()
        assert.equal((await collect(pipe.source)).length, 20_000)
        await pipe.close()
      })(),
    ),
  )
  await inTime(clock, trunk.close())
  await inTime(clock, outcome(trunk.closed))
  return used === 'resolved' ? 'works' : used
}

/** Two ends of a line, an honest trunk at the far one. */
function honestPeer(clock: ManualClock, options: LinkOptions = {}): { near: Link; far: Promise<Trunk> } {
  const [near, farLink] = memoryPair({ clock })
  const far = overLink(farLink, { clock, protocols: [echo], ...options })
  far.catch(() => undefined) // what the honest side hears of it is not looked at
  return { near, far }
}

async function closed(clock: ManualClock, far: Promise<Trunk>): Promise<void> {
  await inTime(clock, outcome(far.then((trunk) => trunk.close())))
}

/**
 * The ways for a link into a session; each gives what came of it. `none`: what a thing that is no
 * link comes to there.
 */
const ENTRIES: readonly {
  readonly name: string
  readonly none: string
  run(make: (good: Link) => unknown, clock: ManualClock): Promise<string>
}[] = [
  {
    name: 'overLink',
    none: 'ERR_BAD_ARGUMENT',
    async run(make, clock) {
      const { near, far } = honestPeer(clock)
      const trunk = overLink(make(near) as Link, { clock })
      const made = await inTime(clock, outcome(trunk))
      const result = made === 'resolved' ? await useOf(clock, await trunk) : made
      await closed(clock, far)
      return result
    },
  },
  {
    name: 'connect',
    none: 'ERR_LINK_FAILED',
    async run(make, clock) {
      const { near, far } = honestPeer(clock)
      const trunk = connect(transportOf({ connect: () => Promise.resolve(make(near)) }), { clock })
      const made = await inTime(clock, outcome(trunk))
      const result = made === 'resolved' ? await useOf(clock, await trunk) : made
      await closed(clock, far)
      return result
    },
  },
  {
    name: 'connect with reconnect, whose second link is a good one',
    none: 'ERR_LINK_FAILED',
    async run(make, clock) {
      let first: string | undefined
      let dials = 0
      const fars: Promise<Trunk>[] = []
      const dial = (): Promise<unknown> => {
        const { near, far } = honestPeer(clock)
        fars.push(far)
        return Promise.resolve(dials++ === 0 ? make(near) : near)
      }
      const trunk = await inTime(
        clock,
        connect(transportOf({ connect: dial }), {
          clock,
          reconnect: true,
          onConnection: ({ error }) => (first ??= error?.code),
        }),
      )
      // where the session was established with it, its use may be what finds out
      const used = dials === 1 ? await inTime(clock, outcome(trunk.ping())) : 'resolved'
      for (let i = 0; i < TURNS; i++) await nextTurn()
      const pipe = await inTime(clock, outcome(trunk.open('echo', undefined, { body: new Uint8Array(0) })))
      await inTime(clock, trunk.close())
      await Promise.all(fars.map((far) => closed(clock, far)))
      return first ?? (used === 'resolved' && pipe === 'resolved' ? 'works' : used === 'resolved' ? pipe : used)
    },
  },
  {
    name: 'serve',
    none: 'ERR_LINK_FAILED',
    run: (make, clock) => served(make, clock, true),
  },
  {
    name: 'serve on a line that outlives its sessions',
    none: 'ERR_LINK_FAILED',
    run: (make, clock) => served(make, clock, false),
  },
]

async function served(make: (good: Link) => unknown, clock: ManualClock, connected: boolean): Promise<string> {
  const rejected: string[] = []
  const listener = new FedListener()
  const transport = transportOf({ listen: () => Promise.resolve(listener), connected })
  const server = await inTime(
    clock,
    serve(transport, {
      clock,
      protocols: [echo],
      onSessionError: ({ error }) => rejected.push((error as { code?: string }).code ?? String(error)),
    }),
  )
  const traits = { lossless: true, connected, preferredFrameBytes: 65_536 }
  const dialled = (serving: (good: Link) => unknown): Promise<Trunk> => {
    const [near, far] = memoryPair({ clock })
    const trunk = overLink(near, { clock, traits })
    trunk.catch(() => undefined)
    listener.feed(serving(far))
    return trunk
  }
  const first = dialled(make)
  let result = await inTime(clock, outcome(first))
  if (result === 'resolved') result = await useOf(clock, await first)
  // whatever that was, the next one is served
  const good = dialled((link) => link)
  assert.equal(await useOf(clock, await inTime(clock, good)), 'works', 'the server is deaf')
  const iterated = inTime(clock, outcome(drained(server)))
  await inTime(clock, server.close())
  assert.equal(await iterated, 'resolved')
  // of a line that outlives its sessions its own end is told as well
  return result === 'works' ? result : (rejected[0] ?? result)
}

async function drained(server: Server): Promise<void> {
  for await (const trunk of server) void trunk.close()
}

describe('[R-391] a link that breaks its contract', () => {
  for (const entry of ENTRIES) {
    describe(`given to ${entry.name}`, () => {
      for (const breach of LINK_BREACHES) {
        it(`by ${breach.name} ends with a code and leaves nothing`, async () => {
          const clock = manualClock()
          const result = await entry.run(breach.make, clock)
          const wanted = (breach.outcome === 'none' ? entry.none : breach.outcome).split('|')
          // what a serving side cannot tell its peer, the peer finds out by itself
          const known = [...wanted, ...(wanted[0] === 'works' ? [] : SEEN_BY_THE_PEER)]
          assert.ok(known.includes(result), `${result}, not ${wanted.join()}`)
          await nothingLeft(clock)
        })
      }
    })
  }
})

/** What the honest side of a broken link may be left with. */
const SEEN_BY_THE_PEER = [
  'ERR_LINK_RESET',
  'ERR_LINK_LOST',
  'ERR_HELLO_TIMEOUT',
  'ERR_KEEPALIVE_TIMEOUT',
  'ERR_FRAME_TRUNCATED',
]

describe('[R-392] a transport that breaks its contract', () => {
  for (const breach of CALL_BREACHES) {
    it(`by a connect that ${breach.name} rejects with a code`, async () => {
      const clock = manualClock()
      const transport = transportOf({ connect: breach.call })
      assert.equal(await inTime(clock, outcome(connect(transport, { clock }))), breach.outcome)
      assert.equal(clock.pending, 0)
    })

    it(`by a connect that ${breach.name} is tried again by reconnect`, async () => {
      const clock = manualClock()
      const fars: Promise<Trunk>[] = []
      const good = (): Promise<Link> => {
        const { near, far } = honestPeer(clock)
        fars.push(far)
        return Promise.resolve(near)
      }
      const calls = [breach.call, good]
      const told: (string | undefined)[] = []
      const trunk = await inTime(
        clock,
        connect(transportOf({ connect: () => calls.shift()?.() }), {
          clock,
          reconnect: true,
          onConnection: ({ error }) => told.push(error?.code),
        }),
      )
      assert.ok(told.includes(breach.outcome), told.join())
      await inTime(clock, trunk.close())
      await Promise.all(fars.map((far) => closed(clock, far)))
      assert.equal(clock.pending, 0)
    })

    it(`by a listen that ${breach.name} rejects with a code`, async () => {
      const clock = manualClock()
      const transport = transportOf({ listen: breach.call })
      assert.equal(await inTime(clock, outcome(serve(transport, { clock }))), breach.outcome)
      assert.equal(clock.pending, 0)
    })
  }

  it('by ignoring its signal is left behind within a second, and what it gives then is let go of', async () => {
    for (const way of ['connect', 'listen'] as const) {
      const clock = manualClock()
      let give!: (value: unknown) => void
      const given = new Promise((resolve) => (give = resolve))
      const over = new AbortController()
      const transport = transportOf({ [way]: () => given })
      const calling = outcome((way === 'connect' ? connect : serve)(transport, { clock, signal: over.signal }))
      await nextTurn()
      const reason = new Error('enough')
      over.abort(reason)
      await nextTurn()
      clock.advance(1000)
      assert.equal(await calling, 'Error: enough')
      const late: string[] = []
      give({ address: 'x', abort: () => late.push('aborted'), close: () => void late.push('closed') })
      await nextTurn()
      assert.deepEqual(late, [way === 'connect' ? 'aborted' : 'closed'])
      assert.equal(clock.pending, 0)
    }
  })

  it('is told by its signal that the time is over, and may say why itself', async () => {
    const clock = manualClock()
    const transport = transportOf({
      connect: ({ signal }: { signal: AbortSignal }) =>
        new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => reject(signal.reason as Error))
        }),
    })
    const connecting = outcome(connect(transport, { clock, limits: { connectTimeoutMs: 300 } }))
    await nextTurn()
    clock.advance(300)
    await nextTurn()
    clock.advance(500)
    assert.equal(await connecting, 'ERR_CONNECT_TIMEOUT')
    assert.equal(clock.pending, 0)
  })

  it('is not told before a transport that keeps the time itself has said why [R-425]', async () => {
    for (const way of ['connect', 'listen'] as const) {
      const clock = manualClock()
      const transport = transportOf({
        // as a serial line does that is not there yet: a last attempt, when the time is over
        [way]: ({ signal }: { signal: AbortSignal }) =>
          new Promise((_resolve, reject) => {
            signal.addEventListener('abort', () => reject(signal.reason as Error))
            clock.after(300, () => {
              setImmediate(reject, new TrunkError('ERR_NOT_FOUND', 'there is no such device'))
            })
          }),
      })
      const call = way === 'connect' ? connect : serve
      const calling = outcome(call(transport, { clock, limits: { connectTimeoutMs: 300 } }))
      await nextTurn()
      clock.advance(300)
      assert.equal(await calling, 'ERR_NOT_FOUND')
      assert.equal(clock.pending, 0)
    }
  })

  it('by its facts is a bad argument, also where a factory of options.transports makes it', async () => {
    const good = transportOf({})
    const boom = (): never => {
      throw new Error('boom')
    }
    const wrong: [unknown, string][] = [
      [{ ...good, scheme: 7 }, 'ERR_BAD_ARGUMENT'],
      [{ ...good, address: undefined }, 'ERR_BAD_ARGUMENT'],
      [{ ...good, traits: { ...good.traits, connected: 'yes' } }, 'ERR_BAD_ARGUMENT'],
      [Object.defineProperty({ ...good }, 'traits', { get: boom }), 'ERR_BAD_ARGUMENT'],
      [undefined, 'ERR_BAD_ARGUMENT'],
    ]
    for (const [transport, code] of wrong) {
      const transports = { foreign: () => transport } as unknown as ConnectOptions['transports'] & object
      assert.equal(await outcome(connect('foreign:x', { transports })), code)
      assert.equal(await outcome(serve('foreign:x', { transports })), code)
    }
    for (const call of [connect, serve]) {
      assert.equal(await outcome(call('foreign:x', { transports: { foreign: boom } })), 'ERR_TRANSPORT_UNAVAILABLE')
    }
  })
})

describe('[R-393] a listener that breaks its contract', () => {
  const start = async (clock: ManualClock, listener: object, options: ServeOptions = {}): Promise<Server> =>
    await inTime(clock, serve(transportOf({ listen: () => Promise.resolve(listener) }), { clock, ...options }))
  const boom = (): never => {
    throw new Error('boom')
  }
  const idle = (): AsyncIterator<Link> => ({ next: () => new Promise(() => undefined) })

  it('by what it is is no listener', async () => {
    const clock = manualClock()
    for (const wrong of [{}, { close: boom }, { close: boom, [Symbol.asyncIterator]: idle }]) {
      assert.equal(await outcome(start(clock, wrong)), 'ERR_LINK_FAILED')
    }
  })

  for (const [name, iterate] of [
    ['throws at once', boom],
    ['has a next that throws', () => ({ next: boom })],
    ['has a next that rejects', () => ({ next: () => Promise.reject(new Error('boom')) })],
    ['has a next that gives nothing', () => ({ next: () => undefined })],
  ] as const) {
    it(`by an iterator that ${name} ends the iteration with a code, and can be closed`, async () => {
      const clock = manualClock()
      const server = await start(clock, {
        address: 'x',
        close: () => Promise.resolve(),
        [Symbol.asyncIterator]: iterate,
      })
      assert.equal(await inTime(clock, outcome(drained(server))), 'ERR_LINK_FAILED')
      await inTime(clock, server.close())
      assert.equal(clock.pending, 0)
    })
  }

  for (const [name, close, code] of [
    ['throws', boom, 'ERR_LINK_FAILED'],
    ['rejects', () => Promise.reject(new Error('boom')), 'ERR_LINK_FAILED'],
    ['never settles', () => new Promise(() => undefined), 'ERR_CLOSE_TIMEOUT'],
  ] as const) {
    it(`by a close that ${name}, and an iterator that does not end, rejects with a code when its trunks have closed`, async () => {
      const clock = manualClock()
      const [near, far] = memoryPair({ clock })
      const links = [far]
      const next = (): Promise<IteratorResult<Link>> => {
        const value = links.shift()
        return value === undefined ? new Promise(() => undefined) : Promise.resolve({ done: false, value })
      }
      const server = await start(clock, { address: 'x', close, [Symbol.asyncIterator]: () => ({ next }) })
      const trunk = await inTime(clock, overLink(near, { clock }))
      assert.equal(await inTime(clock, outcome(server.close())), code)
      await inTime(clock, trunk.closed)
      assert.equal(await inTime(clock, outcome(drained(server))), 'resolved')
      assert.equal(clock.pending, 0)
    })
  }

  it('by giving nothing but what is no link keeps nobody else from the event loop', async () => {
    const clock = manualClock()
    let rejected = 0
    const listener = {
      address: 'x',
      close: () => Promise.resolve(),
      [Symbol.asyncIterator]: () => ({ next: () => Promise.resolve({ done: false, value: 7 }) }),
    }
    const server = await start(clock, listener, { onSessionError: () => rejected++ })
    for (let i = 0; i < 50; i++) await nextTurn()
    assert.ok(rejected > 0)
    await inTime(clock, server.close())
  })
})

describe('[R-394] a source that breaks its contract', () => {
  const boom = (): never => {
    throw new Error('boom')
  }
  for (const [name, source] of [
    ['throws at once', { [Symbol.asyncIterator]: boom }],
    ['throws at once, synchronously', { [Symbol.iterator]: boom }],
    ['has no iterator', { [Symbol.asyncIterator]: () => undefined }],
    ['has a next that throws', { [Symbol.asyncIterator]: () => ({ next: boom }) }],
    ['gives no result', { [Symbol.asyncIterator]: () => ({ next: () => undefined }) }],
    ['gives text', ['text']],
    ['fails, and has a return that throws', { [Symbol.asyncIterator]: () => ({ next: boom, return: boom }) }],
  ] as const) {
    it(`and ${name} resets the pipe that sinks it`, async () => {
      const [near, far] = await trunkPair({}, { protocols: [echo] })
      const pipe = await near.open('echo')
      await assert.rejects(pipe.sink(source as never))
      await assert.rejects(pipe.close(), { code: /ERR_ABORTED|ERR_BAD_ARGUMENT/ })
      assert.equal(await outcome(pipe.sink([])), 'ERR_PIPE_BUSY')
      await Promise.all([near.close(), far.close()])
    })
  }

  it('by its return alone takes nothing back of what it gave', async () => {
    const [near, far] = await trunkPair({}, { protocols: [echo] })
    const pipe = await near.open('echo')
    const chunks = [Uint8Array.of(1), Uint8Array.of(2)]
    const source = {
      [Symbol.asyncIterator]: () => ({
        next: () => {
          const value = chunks.shift()
          return Promise.resolve(value === undefined ? { done: true as const, value } : { done: false as const, value })
        },
        return: boom,
      }),
    }
    await pipe.sink(source as never)
    assert.deepEqual([...(await collect(pipe.source))], [1, 2])
    await Promise.all([near.close(), far.close()])
  })
})

describe('[R-395] an argument that only looks like one', () => {
  it('is refused before anything hangs on it: signals and clocks', async () => {
    const [near, far] = await trunkPair({}, { protocols: [echo] })
    for (const signal of [{}, null, { aborted: false }, 'x'] as never[]) {
      assert.equal(await outcome(near.open('echo', undefined, { signal })), 'ERR_BAD_ARGUMENT')
      assert.equal(await outcome(near.ping({ signal })), 'ERR_BAD_ARGUMENT')
      assert.equal(await outcome(connect(transportOf({}), { signal })), 'ERR_BAD_ARGUMENT')
    }
    assert.equal(near.status().pipes.length, 0)
    for (const clock of [{}, { now: () => 1 }, 7] as never[]) {
      assert.equal(await outcome(connect(transportOf({}), { clock })), 'ERR_BAD_ARGUMENT')
    }
    await Promise.all([near.close(), far.close()])
  })

  it('closes the link where our own hello cannot be made of it', async () => {
    const protocols = Array.from({ length: 6 }, (_, i) => ({ ...echo, name: `${i}${'ä'.repeat(100)}` }))
    const options = { limits: { maxHelloBytes: 1024 }, protocols, name: 'ä'.repeat(32) }
    for (const way of ['overLink', 'connect'] as const) {
      const [near, far] = memoryPair()
      const made =
        way === 'connect'
          ? connect(transportOf({ connect: () => Promise.resolve(near) }), options)
          : overLink(near, options)
      assert.equal(await outcome(made), 'ERR_BAD_ARGUMENT', way)
      assert.equal(await outcome(overLink(far)), 'ERR_LINK_RESET', way)
    }
  })
})

describe('[R-396] a callback that throws', () => {
  it('is the error of the program, and a server serves on', { timeout: 60_000 }, () => {
    const program = fileURLToPath(new URL('../fixtures/throwing-callbacks.ts', import.meta.url))
    const { stdout, stderr, status } = spawnSync(process.execPath, typeScript(program), { encoding: 'utf8' })
    assert.equal(status, 0, stderr)
    assert.deepEqual(JSON.parse(stdout), {
      served: ['ERR_SESSION_LIMIT', 'resolved', 'resolved'],
      uncaught: ['onConnection', 'onPipeError', 'onSessionError'],
    })
  })
})
