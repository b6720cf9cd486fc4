/**
 * trunkline's layers alone, each without those above and below it: the codec (frames to bytes and
 * back), the core (two engines that are handed each other's bytes), the adapter (pipes over links
 * in memory), and the transport (a link's sink into a link's source, over TCP). Plain JavaScript:
 * the built files are the layers' only names, and the project's type check needs no build.
 */
import { performance } from 'node:perf_hooks'
import { answerCalls } from './build/remote.js'

const DIST = new URL('../../dist/', import.meta.url)
const load = (path) => import(new URL(path, DIST).href)

const MIB = 1024 * 1024

/**
 * Calls `once` for `seconds`, after a warm-up; `once` gives how much it did. How much was done in a
 * second.
 */
async function rate(seconds, once) {
  const run = async (limit) => {
    const started = performance.now()
    let done = 0
    let elapsed
    do {
      done += await once()
      elapsed = (performance.now() - started) / 1000
    } while (elapsed < limit)
    return done / elapsed
  }
  await run(seconds / 3)
  return run(seconds)
}

// --- codec ---------------------------------------------------------------------------------------

/** Nanoseconds for a data frame of `payloadBytes` that is written into a batch and read from it. */
async function codec(payloadBytes) {
  const { FrameBatch } = await load('src/core/frame/batch.js')
  const { FrameDecoder } = await load('src/core/frame/decoder.js')
  const { FrameType } = await load('src/core/frame/constants.js')
  const payload = new Uint8Array(payloadBytes)
  let got = 0
  const handler = {
    header: () => true,
    piece(bytes) {
      got += bytes.byteLength
    },
    frame: () => undefined,
  }
  const decoder = new FrameDecoder(handler)
  const batch = new FrameBatch()
  return async (seconds) => {
    const frames = await rate(seconds, () => {
      let count = 0
      for (let i = 0; i < 100; i++) {
        got = 0
        batch.reset()
        let added = 0
        for (; added < 64 && batch.hasRoom; added++) {
          batch.header(FrameType.DATA, 0, 1, payloadBytes)
          batch.payload(payload)
        }
        for (const piece of batch.finish()) decoder.push(piece)
        if (got !== added * payloadBytes) throw new Error(`${got} bytes of ${added * payloadBytes} came out`)
        count += added
      }
      return count
    })
    return 1e9 / frames
  }
}

// --- core ----------------------------------------------------------------------------------------

/** Stands still: nothing here waits for time to pass. */
const CLOCK = { now: () => 0 }

/** Two engines and what lies between them: nothing. */
async function engines() {
  const { Engine } = await load('src/core/session/engine.js')
  const { DEFAULT_LIMITS } = await load('src/contracts/limits.js')
  const { helloLimits } = await load('src/core/session/hello.js')
  const side = (number, onPipe) =>
    new Engine({
      hello: {
        versions: [1, 1],
        epoch: new Uint8Array(8).fill(number),
        name: 'bench',
        role: 'peer',
        limits: helloLimits(DEFAULT_LIMITS),
        protocols: ['bench'],
        features: [],
      },
      limits: DEFAULT_LIMITS,
      preferredFrameBytes: 65_536,
      now: 0,
      host: {
        wake: () => undefined,
        established: () => undefined,
        incoming: onPipe,
        ponged: () => undefined,
        ended(error) {
          if (error !== undefined) throw error
        },
      },
    })
  const listener = {
    accepted: () => undefined,
    readable: () => undefined,
    written: () => undefined,
    stopped: () => undefined,
    confirmed: () => undefined,
    failed(error) {
      throw error
    },
  }
  let inbound
  const near = side(1, () => undefined)
  const far = side(2, (pipe) => {
    inbound = pipe
    pipe.listener = listener
    far.mux.accept(pipe, new Uint8Array(0))
  })
  /** Hands over what there is, either way, once. */
  const exchange = (from, to) => {
    const batch = from.pull(0)
    if (batch === undefined) return false
    for (const piece of batch) to.receive(piece, 0)
    from.batchLeft()
    return true
  }
  const settle = () => {
    for (let moved = true; moved;) moved = [exchange(near, far), exchange(far, near)].includes(true)
  }
  settle()
  const { encodeCbor } = await load('src/core/cbor.js')
  const outbound = near.mux.open(encodeCbor({ protocol: 'bench' }, 4096, 'open'), listener, 0)
  settle()
  return { near, far, outbound, inbound, settle, exchange }
}

/** Nanoseconds per write of `chunkBytes` that the far core has read. */
async function core(chunkBytes) {
  const { near, far, outbound, inbound, settle } = await engines()
  const chunk = new Uint8Array(chunkBytes)
  const writes = Math.max(1, Math.floor(16_384 / chunkBytes))
  return async (seconds) => {
    const count = await rate(seconds, () => {
      for (let i = 0; i < 50; i++) {
        for (let j = 0; j < writes; j++) near.mux.write(outbound, chunk)
        let got = 0
        for (let turns = 0; got < writes * chunkBytes; turns++) {
          settle()
          for (const piece of far.mux.read(inbound, CLOCK)) got += piece.byteLength
          if (turns > 1000) throw new Error(`the core stands still at ${got} of ${writes * chunkBytes} bytes`)
        }
      }
      return 50 * writes
    })
    return 1e9 / count
  }
}

// --- adapter -------------------------------------------------------------------------------------

/**
 * Nanoseconds a write of `chunkBytes` to a pipe between two trunks that are joined in memory, with
 * `for await` at its other end.
 */
async function adapter(chunkBytes) {
  const { overLink, defineProtocol } = await load('src/index.js')
  const { memoryPair } = await load('transports/memory.js')
  const [a, b] = memoryPair({ bufferBytes: 4 * MIB })
  let missing = 0
  let allRead
  const protocol = defineProtocol({
    name: 'bench',
    parse: () => undefined,
    async handle({ accept }) {
      for await (const list of accept().source) {
        missing -= list.byteLength
        if (missing === 0) allRead()
      }
    },
  })
  const [trunk] = await Promise.all([overLink(a), overLink(b, { protocols: [protocol] })])
  const pipe = await trunk.open('bench')
  const chunk = new Uint8Array(chunkBytes)
  const writes = Math.min(4096, (4 * MIB) / chunkBytes)
  return async (seconds) => {
    const count = await rate(seconds, async () => {
      const reading = new Promise((resolve) => {
        allRead = resolve
      })
      missing = writes * chunkBytes
      for (let i = 0; i < writes; i++) await pipe.write(chunk)
      await reading
      return writes
    })
    return 1e9 / count
  }
}

// --- transport -----------------------------------------------------------------------------------

/** MiB/s of `chunkBytes` at a time through a TCP link's sink and the other one's source. */
async function transport(chunkBytes) {
  const { tcp } = await load('transports/tcp.js')
  const { systemClock } = await load('src/runtime/clock.js')
  const { DEFAULT_LIMITS } = await load('src/contracts/limits.js')
  const options = { clock: systemClock, limits: DEFAULT_LIMITS, signal: new AbortController().signal }
  const listener = await tcp({ port: 0 }).listen(options)
  const links = listener[Symbol.asyncIterator]()
  const chunk = new Uint8Array(chunkBytes)
  const run = async (seconds) => {
    const [near, taken] = await Promise.all([tcp(listener.address).connect(options), links.next()])
    const far = taken.value
    const started = performance.now()
    let got = 0
    const reading = (async () => {
      for await (const bytes of far.source) got += bytes.byteLength
    })()
    await near.sink(
      (async function* () {
        while (performance.now() - started < seconds * 1000) yield chunk
      })(),
    )
    await reading
    const elapsed = (performance.now() - started) / 1000
    near.abort(new Error('the round is over'))
    far.abort(new Error('the round is over'))
    return got / MIB / elapsed
  }
  return async (seconds) => {
    await run(seconds / 3)
    return run(seconds)
  }
}

const LAYERS = [
  { name: 'codec', what: 'a frame of 64 B, there and back', unit: 'ns', make: () => codec(64) },
  { name: 'codec', what: 'a frame of 64 KiB, there and back', unit: 'ns', make: () => codec(65_536) },
  { name: 'core', what: 'a write of 64 B, read by the other core', unit: 'ns', make: () => core(64) },
  { name: 'core', what: 'a write of 64 KiB, read by the other core', unit: 'ns', make: () => core(65_536) },
  { name: 'adapter', what: 'a write of 64 B over links in memory', unit: 'ns', make: () => adapter(64) },
  { name: 'adapter', what: 'a write of 64 KiB over links in memory', unit: 'ns', make: () => adapter(65_536) },
  { name: 'transport', what: 'a TCP link, 64 KiB at a time', unit: 'MiB/s', make: () => transport(65_536) },
]

answerCalls({
  names: () => [...new Set(LAYERS.map(({ name }) => name))],
  async measure({ name, seconds, rounds }) {
    const results = []
    for (const { what, unit, make } of LAYERS.filter((layer) => layer.name === name)) {
      try {
        const once = await make()
        const values = []
        for (let round = 0; round < rounds; round++) values.push(await once(seconds))
        results.push({ name, what, unit, values })
      } catch (error) {
        results.push({ name, what, unit, values: [], error: String(error) })
      }
    }
    return results
  },
})
