/**
 * Sessions over real pseudo-terminals: programs that are killed and started again in mid-transfer,
 * lines that say other things first, lines that do something to bytes. What a session promises on a
 * connectionless link is in docs/reference/wire-format.md.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { Transform, type TransformCallback } from 'node:stream'
import { after, describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { connect, serve, type Server, type Trunk } from '../../src/index.ts'
import { eventually } from '../helpers/eventually.ts'
import { keyed, keyedReader } from '../helpers/keyed-stream.ts'
import { echo } from '../helpers/protocols.ts'
import { openPty, ptyPair, type PtyPair } from '../helpers/pty.ts'
import { noStrayRejections } from '../helpers/stray-rejections.ts'
import { typeScript } from '../helpers/typescript.ts'

noStrayRejections()

const SIDE = fileURLToPath(new URL('../fixtures/serial-side.ts', import.meta.url))
/** From a hello to the end of what was before it. */
const NOTICED_MS = 1_000
/**
 * To a session, whatever comes before or between: 2.5 s until missing bytes are noticed, the rest
 * for a busy machine.
 */
const SESSION_MS = 5_000
/** A second, where the machine has time. */
const NAMED_MS = 10_000

/** The program in test/fixtures/serial-side.ts; `lines` are what it printed. */
function side(...args: string[]): { readonly lines: string[]; kill(): Promise<void> } {
  const child = spawn(process.execPath, typeScript(SIDE, ...args), { stdio: ['ignore', 'pipe', 'inherit'] })
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const lines: string[] = []
  let text = ''
  child.stdout.on('data', (bytes: Buffer) => {
    text += bytes.toString()
    const parts = text.split('\n')
    text = parts.pop() ?? ''
    lines.push(...parts)
  })
  return {
    lines,
    async kill() {
      child.kill('SIGKILL')
      await exited
    },
  }
}

/**
 * Opens a stream and reads until it fails; gives the bytes that were right and the error's code.
 */
function reading(
  trunk: Trunk,
  key: number,
): { readonly bytes: () => number; readonly failed: Promise<{ code: string; at: number }> } {
  const read = keyedReader(key)
  const failed = (async () => {
    try {
      const pipe = await trunk.open('keyed', { key, bytes: 2 ** 40 })
      for await (const list of pipe.source) for (const chunk of list) read(chunk)
    } catch (error) {
      assert.ok(error instanceof Error && 'code' in error, String(error))
      return { code: String(error.code), at: performance.now() }
    }
    return assert.fail('a stream without end has ended')
  })()
  return { bytes: () => read.bytes, failed }
}

const serial = (path: string): string => `serial://${path}`

async function within<T>(ms: number, what: string, promise: Promise<T>): Promise<T> {
  const started = performance.now()
  const value = await promise
  const took = performance.now() - started
  assert.ok(took < ms, `${what} took ${took.toFixed(0)} ms, more than ${ms}`)
  return value
}

describe('a program on a serial line that is killed in mid-transfer', () => {
  const closing: { close(): Promise<unknown> }[] = []
  after(async () => {
    for (const one of closing.reverse()) await one.close()
  })

  it('and serves: the old pipes fail within a second of the new hello, the new session works [R-051]', async () => {
    const pair = await ptyPair()
    closing.push(pair)
    let server = side('serve', serial(pair.far))
    closing.push({ close: () => server.kill() })
    await eventually(() => server.lines.includes('serving'), 'the server serves', 10_000)
    let trunk = await within(SESSION_MS, 'the first session', connect(serial(pair.near)))
    for (let round = 0; round < 5; round++) {
      const stream = reading(trunk, round)
      const enough = 1 + Math.floor(Math.random() * 400_000)
      await eventually(() => stream.bytes() > enough, `round ${round}: ${enough} bytes`, 10_000)
      await server.kill()
      server = side('serve', serial(pair.far))
      await eventually(() => server.lines.includes('serving'), 'it serves again', 10_000)
      const servingAt = performance.now()
      const { code, at } = await stream.failed
      assert.ok(['ERR_PEER_RESTARTED', 'ERR_LINE_DAMAGED'].includes(code), code)
      assert.ok(at - servingAt < NOTICED_MS, `noticed after ${(at - servingAt).toFixed(0)} ms`)
      await assert.rejects(trunk.closed, { code })
      trunk = await within(SESSION_MS, 'a new session', connect(serial(pair.near)))
      const pipe = await trunk.open('keyed', { key: 100 + round, bytes: 50_000 })
      const read = keyedReader(100 + round)
      for await (const list of pipe.source) for (const chunk of list) read(chunk)
      assert.equal(read.bytes, 50_000)
    }
    await trunk.close()
  })

  it('and drives: the server tells the old session’s end from the new one, again and again [R-051]', async () => {
    const pair = await ptyPair()
    closing.push(pair)
    const server = await serve(serial(pair.far), { protocols: [keyed] })
    closing.push(server)
    const trunks = server[Symbol.asyncIterator]()
    const closed: string[] = []
    for (let round = 0; round < 5; round++) {
      const driver = side('drive', serial(pair.near), String(round))
      const { value: trunk } = (await trunks.next()) as { value: Trunk }
      trunk.closed.catch((error: unknown) => closed.push((error as { code: string }).code))
      const enough = 1 + Math.floor(Math.random() * 400_000)
      await eventually(() => trunk.status().bytesWritten > enough, `round ${round}`, 10_000)
      // the session before this one had ended by the time this one stood
      assert.equal(closed.length, round)
      await driver.kill()
    }
    const last = await within(SESSION_MS, 'the last session', connect(serial(pair.near)))
    await eventually(() => closed.length === 5, 'every session has ended')
    assert.deepEqual(
      closed.filter((code) => code !== 'ERR_PEER_RESTARTED' && code !== 'ERR_LINE_DAMAGED'),
      [],
    )
    await last.ping()
    await last.close()
  })

  it('leaves a server that takes any number of clients, one after the other', async () => {
    const pair = await ptyPair()
    closing.push(pair)
    const server = await serve(serial(pair.far), { protocols: [echo] })
    closing.push(server)
    for (let round = 0; round < 20; round++) {
      const trunk = await within(SESSION_MS, 'a session', connect(serial(pair.near)))
      const pipe = await trunk.open('echo')
      await pipe.write(Buffer.from(`client ${round}`))
      await pipe.closeWrite()
      let text = ''
      for await (const list of pipe.source) text += Buffer.from(list.subarray()).toString()
      assert.equal(text, `client ${round}`)
      await trunk.close()
    }
  })
})

/** Both sides over a line; `before` is said on it first. */
async function session(pair: PtyPair): Promise<{ server: Server; trunk: Trunk }> {
  const server = await serve(serial(pair.far), { protocols: [keyed] })
  const trunk = await connect(serial(pair.near))
  return { server, trunk }
}

async function works(trunk: Trunk): Promise<void> {
  const key = Math.floor(Math.random() * 1e6)
  const pipe = await trunk.open('keyed', { key, bytes: 20_000 })
  const read = keyedReader(key)
  for await (const list of pipe.source) for (const chunk of list) read(chunk)
  assert.equal(read.bytes, 20_000)
}

describe('a line that says other things', () => {
  const BOOT = Buffer.from(
    '[    0.000000] Linux version 6.1.0\r\n[    0.004000] Calibrating delay loop\r\n\r\nguest login: ',
  )
  const HALF_FRAME = Buffer.from('f49bd1a6e8b3c597fffefdfc0100', 'hex')
  const noise = Buffer.from(Array.from({ length: 65_536 }, (_, index) => Math.imul(index, 0x9e3779b1) >>> 24))

  for (const [what, bytes] of Object.entries({
    'boot messages': BOOT,
    'half of an old frame': HALF_FRAME,
    '64 KiB of noise': noise,
  })) {
    it(`before the hello (${what}): a session soon [R-053]`, async () => {
      const [near, far] = await Promise.all([openPty(), openPty()])
      near.master.write(bytes)
      far.master.write(bytes)
      near.master.pipe(far.master)
      far.master.pipe(near.master)
      const pair = {
        near: near.path,
        far: far.path,
        close: () => Promise.all([near.close(), far.close()]).then(() => undefined),
      }
      const { server, trunk } = await within(SESSION_MS, 'the session', session(pair))
      await works(trunk)
      await trunk.close()
      await server.close()
      await pair.close()
    })

    it(`between frames (${what}): no wrong byte, and another session soon [R-053]`, async () => {
      const inserted: Transform[] = []
      const pair = await ptyPair({
        via: () => {
          const through = new Transform({ transform: (chunk: Buffer, _, done) => done(null, chunk) })
          inserted.push(through)
          return through
        },
      })
      const { server, trunk } = await session(pair)
      const stream = reading(trunk, 7)
      await eventually(() => stream.bytes() > 50_000, 'the stream runs')
      const startedAt = performance.now()
      for (const way of inserted) way.push(bytes)
      const { code } = await stream.failed
      assert.ok(['ERR_LINE_DAMAGED', 'ERR_PEER_RESTARTED'].includes(code), code)
      const next = await connect(serial(pair.near))
      assert.ok(performance.now() - startedAt < SESSION_MS, 'the next session took too long')
      await works(next)
      await next.close()
      await server.close()
      await pair.close()
    })
  }
})

describe('a line that does something to bytes', () => {
  const mapped = (map: (byte: number) => number[]) => () =>
    new Transform({
      transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback) {
        done(null, Buffer.from([...chunk].flatMap(map)))
      },
    })

  const LINES: Record<string, [map: (byte: number) => number[], named: RegExp]> = {
    'maps CR to NL': [(byte) => [byte === 0x0d ? 0x0a : byte], /0x0d arrives as 0x0a/],
    'maps NL to CR NL': [(byte) => (byte === 0x0a ? [0x0d, 0x0a] : [byte]), /0x0d comes before 0x0a/],
    'strips the eighth bit': [(byte) => [byte & 0x7f], /eighth bit/],
    'eats XON and XOFF': [(byte) => (byte === 0x11 || byte === 0x13 ? [] : [byte]), /0x13 is missing, 0x11 is missing/],
  }
  for (const [what, [map, named]] of Object.entries(LINES)) {
    it(`(${what}) is named soon, on both sides [R-058]`, async (t) => {
      const pair = await ptyPair({ via: mapped(map) })
      const rejected: string[] = []
      const server = await serve(serial(pair.far), { onSessionError: ({ error }) => rejected.push(error.message) })
      t.after(async () => {
        await server.close()
        await pair.close()
      })
      const isNamed = (): boolean => rejected.some((message) => named.test(message))
      // the server needs two hello bursts, and whoever has named the line greets no more: people
      // try again
      for (let dials = 0; dials === 0 || (dials < 3 && !isNamed()); dials++) {
        const failing = connect(serial(pair.near)).then(
          () => assert.fail('there is a session'),
          (error: unknown) => error as Error & { code: string },
        )
        const error = await within(NAMED_MS, 'the error', failing)
        assert.equal(error.code, 'ERR_LINE_NOT_RAW')
        assert.match(error.message, named)
      }
      await eventually(isNamed, 'the server names it, too', NAMED_MS)
    })
  }

  it('and echoes is told from a peer [R-057]', async () => {
    const pty = await openPty()
    pty.master.pipe(pty.master)
    const failing = connect(serial(pty.path)).then(
      () => assert.fail('there is a session'),
      (error: unknown) => error as Error & { code: string },
    )
    const error = await within(SESSION_MS, 'the error', failing)
    assert.equal(error.code, 'ERR_SELF_CONNECTION')
    await pty.close()
  })

  it('(bit errors, losses, doubles) never gives a reader a wrong byte, and sessions come back [R-056]', async () => {
    let damaging = true
    const pair = await ptyPair({
      via: () =>
        new Transform({
          transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback) {
            if (!damaging || Math.random() > 0.05) {
              done(null, chunk)
              return
            }
            const at = Math.floor(Math.random() * chunk.length)
            const kind = Math.floor(Math.random() * 3)
            if (kind === 0) chunk[at] = (chunk[at] ?? 0) ^ (1 << Math.floor(Math.random() * 8))
            if (kind === 1) done(null, Buffer.concat([chunk.subarray(0, at), chunk.subarray(at + 16)]))
            else if (kind === 2) done(null, Buffer.concat([chunk, chunk.subarray(at)]))
            else done(null, chunk)
          },
        }),
    })
    const server = await serve(serial(pair.far), { protocols: [keyed] })
    for (let round = 0; round < 8; round++) {
      try {
        const trunk = await connect(serial(pair.near))
        const { code } = await reading(trunk, round).failed
        assert.match(code, /^ERR_(LINE_DAMAGED|PEER_RESTARTED)$/)
        await trunk.closed.catch(() => undefined)
      } catch (error) {
        // the hello itself may be hit, again and again
        assert.match((error as { code: string }).code, /^ERR_(HELLO_TIMEOUT|LINE_DAMAGED|PEER_RESTARTED)$/)
      }
    }
    damaging = false
    const trunk = await within(SESSION_MS, 'a session on a clean line', connect(serial(pair.near)))
    await works(trunk)
    await trunk.close()
    await server.close()
    await pair.close()
  })
})
