/**
 * Bytes without a meaning, as many as asked for, over a bare link of a transport (no session, no
 * frames) and over a pipe: what a line can do, and what is left of it. Both write the same block
 * again and again, each as soon as the last one's back-pressure allows, and read what the link
 * lends.
 *
 * Over the bare link a head goes before the bytes: a mark, a word, a number. What comes before a
 * mark is skipped, since a serial line may hold what was sent to somebody else.
 */
import { randomBytes } from 'node:crypto'
import { defineProtocol, DEFAULT_LIMITS, systemClock } from 'trunkline'

/** One write, in both kinds. */
const BLOCK_BYTES = 64 * 1024
/** Times that the bytes go each way, of which the first is for warming up. */
const ROUNDS = 4

const block = randomBytes(BLOCK_BYTES)

function secondsSince(start) {
  return (performance.now() - start) / 1000
}

/**
 * Sends the bytes there and has as many sent here, in turns; the seconds of each, the first of each
 * left out.
 */
async function inTurns(send, fetch) {
  const seconds = { up: [], down: [] }
  for (let round = 0; round < ROUNDS; round++) {
    for (const [way, move] of [
      ['up', send],
      ['down', fetch],
    ]) {
      const start = performance.now()
      await move()
      if (round > 0) seconds[way].push(secondsSince(start))
    }
  }
  return seconds
}

// --- over a pipe ---------------------------------------------------------------------------------

async function writeAll(pipe, total) {
  for (let left = total; left > 0; left -= BLOCK_BYTES) {
    const written = pipe.write(left < BLOCK_BYTES ? block.subarray(0, left) : block)
    if (pipe.writableLength === 0) await written
  }
  await pipe.closeWrite()
}

/** How many bytes come up to the end. */
async function readAll(pipe) {
  let got = 0
  for await (const list of pipe.borrowed) got += list.byteLength
  return got
}

/** The serving side's end of {@link overPipes}. */
export const poured = defineProtocol({
  name: 'poured',
  parse: (params) => params,
  async handle({ params, accept }) {
    const pipe = accept()
    const got = await readAll(pipe)
    if (got !== params.taken) throw new RangeError(`${got} bytes of ${params.taken}`)
    await writeAll(pipe, params.given)
  },
})

/** The seconds that `total` bytes take over a pipe of their own, each time. */
export async function overPipes(trunk, total) {
  const move = async (taken, given) => {
    const pipe = await trunk.open('poured', { taken, given })
    await writeAll(pipe, taken)
    const got = await readAll(pipe)
    if (got !== given) throw new RangeError(`${got} bytes of ${given}`)
    await pipe.close()
  }
  return await inTurns(
    () => move(total, 0),
    () => move(0, total),
  )
}

// --- both ways at once ---------------------------------------------------------------------------

/**
 * Bytes at the end of each direction's stream: how many bytes of the other one had come in time.
 */
const RESULT_BYTES = 8

/**
 * Writes, unless it is told not to, and reads for `ms`, as fast as it goes; gives how many bytes
 * came in that time here and, by its own word, at the peer.
 */
async function pourBothWays(pipe, ms, writes = true) {
  const until = performance.now() + ms
  let here = 0
  const reading = (async () => {
    let last = Buffer.alloc(0)
    for await (const list of pipe.borrowed) {
      if (performance.now() < until) here += list.byteLength
      last = Buffer.concat([last, list.subarray(Math.max(0, list.byteLength - RESULT_BYTES))]).subarray(-RESULT_BYTES)
    }
    return last.readDoubleBE()
  })()
  while (writes && performance.now() < until) await pipe.write(block)
  // who does not write says at the end what has come
  if (!writes) await new Promise((resolve) => setTimeout(resolve, Math.max(0, until - performance.now())))
  const result = Buffer.alloc(RESULT_BYTES)
  result.writeDoubleBE(here)
  await pipe.write(result)
  await pipe.closeWrite()
  return { here, there: await reading }
}

/** The serving side's end of {@link bothWays}. */
export const poured2 = defineProtocol({
  name: 'poured-both-ways',
  parse: (params) => params,
  async handle({ params, accept }) {
    await pourBothWays(accept(), params.ms, params.down)
  },
})

/** Bytes a second to the serving side and from it, both at once unless one way is left out. */
export async function bothWays(trunk, ms, { up = true, down = true } = {}) {
  const pipe = await trunk.open('poured-both-ways', { ms, down })
  const { here, there } = await pourBothWays(pipe, ms, up)
  await pipe.close()
  return { up: (there * 1000) / ms, down: (here * 1000) / ms }
}

// --- over a bare link ----------------------------------------------------------------------------

const MARK = Buffer.from('bytes for nobody')
const HEAD_BYTES = MARK.byteLength + 1 + 8
/** `TAKE n`: n bytes follow. `GIVE n`: send me TAKE n. `TOOK n`: they have come. */
const [TAKE, GIVE, TOOK] = [1, 2, 3]

class BareLink {
  #direct
  #unread = Buffer.alloc(0)
  #head
  /** Bytes that the head has announced and that have not come. */
  #due = 0
  /** A head of which all has come, until it is asked for. */
  #whole
  #isDrained = true
  #failure
  #wake = () => {}

  constructor({ direct }) {
    this.#direct = direct
    direct.start({
      data: (chunk) => this.#take(chunk),
      kept: () => 0,
      end: () => this.#fail(new Error('the link has ended')),
      fail: (error) => this.#fail(error),
      drain: () => {
        this.#isDrained = true
        this.#wake()
      },
    })
  }

  /** The next head, when all that follows it has come. */
  async next() {
    while (this.#whole === undefined) await this.#change()
    const head = this.#whole
    this.#whole = undefined
    return head
  }

  /**
   * A head and, for TAKE, its bytes; resolves when the line has taken them. Not while `next` is
   * waited for.
   */
  async send(word, count) {
    const head = Buffer.alloc(HEAD_BYTES)
    MARK.copy(head)
    head.writeUInt8(word, MARK.byteLength)
    head.writeDoubleBE(count, MARK.byteLength + 1)
    this.#isDrained = this.#direct.write([head])
    for (let left = word === TAKE ? count : 0; left > 0; left -= BLOCK_BYTES) {
      while (!this.#isDrained) await this.#change()
      this.#isDrained = this.#direct.write([left < BLOCK_BYTES ? block.subarray(0, left) : block])
    }
    while (!this.#isDrained) await this.#change()
  }

  /** Resolves when something has happened; rejects when nothing more will. */
  async #change() {
    if (this.#failure === undefined) await new Promise((resolve) => (this.#wake = resolve))
    if (this.#failure !== undefined) throw this.#failure
  }

  #fail(error) {
    this.#failure ??= error
    this.#wake()
  }

  #take(chunk) {
    let rest = chunk
    if (this.#head === undefined) {
      const unread = Buffer.concat([this.#unread, chunk])
      const at = unread.indexOf(MARK)
      if (at < 0 || unread.byteLength < at + HEAD_BYTES) {
        this.#unread = unread.subarray(at < 0 ? Math.max(0, unread.byteLength - MARK.byteLength) : at)
        return
      }
      this.#unread = Buffer.alloc(0)
      const word = unread.readUInt8(at + MARK.byteLength)
      const count = unread.readDoubleBE(at + MARK.byteLength + 1)
      this.#head = { word, count }
      this.#due = word === TAKE ? count : 0
      rest = unread.subarray(at + HEAD_BYTES)
    }
    this.#due -= rest.byteLength
    if (this.#due > 0) return
    const head = this.#head
    this.#head = undefined
    if (this.#due < 0) this.#fail(new RangeError('more bytes than were announced'))
    else {
      this.#whole = head
      this.#wake()
    }
  }
}

/**
 * The transport of an address, and what its calls are given: what `connect` and `serve` make for
 * themselves.
 */
async function lineAt(address) {
  const name = /^[a-z]+/.exec(address)[0]
  const { [name]: transport } = await import(`trunkline/transports/${name}`)
  const options = { signal: new AbortController().signal, clock: systemClock, limits: DEFAULT_LIMITS }
  return { transport: transport(address), options }
}

/** Answers {@link overLink}, one link after the other. */
export async function answerLinks(address, onReady) {
  const { transport, options } = await lineAt(address)
  const listener = await transport.listen(options)
  onReady()
  for await (const link of listener) {
    const line = new BareLink(link)
    try {
      for (;;) {
        const { word, count } = await line.next()
        await line.send(word === GIVE ? TAKE : TOOK, count)
      }
    } catch (error) {
      console.log(String(error)) // the driving side has left, or says itself what is wrong
      link.abort(error)
    }
  }
}

/** The seconds that `total` bytes take over the bare link, each time. */
export async function overLink(address, total) {
  const { transport, options } = await lineAt(address)
  const link = await transport.connect(options)
  const line = new BareLink(link)
  const ask = async (word, answer) => {
    await line.send(word, total)
    const head = await line.next()
    if (head.word !== answer || head.count !== total) throw new Error(`answered with ${head.word}, ${head.count}`)
  }
  const seconds = await inTurns(
    () => ask(TAKE, TOOK),
    () => ask(GIVE, TAKE),
  )
  await link.close()
  return seconds
}
