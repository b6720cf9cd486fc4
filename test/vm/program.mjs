/**
 * One program for both sides, the same over every line: it is given an address and knows nothing of
 * what is behind it. It uses what a user of the installed package can, and says what happens in
 * lines of JSON.
 *
 * node program.mjs serve FOLDER BYTES serves FOLDER, in which it makes `down`, a file of BYTES
 * random bytes node program.mjs measure FOLDER BYTES STREAMED times sessions, copies, and STREAMED
 * bytes over a pipe, checks everything, ends node program.mjs hold FOLDER session after session:
 * checks it, then moves bytes every way until it breaks; runs for ever node program.mjs both FOLDER
 * MS pours both ways at once for MS milliseconds, then one way and the other for half of that, and
 * says how much came through node program.mjs answer the serving side of the next one node
 * program.mjs bare FOLDER 0 STREAMED times STREAMED bytes over a link of the transport, without
 * trunkline
 *
 * The address is $TRUNKLINE_TO. Ends with status 1 when a byte is wrong.
 */
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createReadStream, createWriteStream, mkdirSync, writeFileSync } from 'node:fs'
import { connect as connectTcp, createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { connect, defineProtocol, serve, TrunkError } from 'trunkline'
import { filesystem, filesystemClient } from 'trunkline/protocols/filesystem'
import { tcpConnect, tcpConnection } from 'trunkline/protocols/tcp-connection'
import { answerLinks, bothWays, overLink, overPipes, poured, poured2 } from './streams.mjs'

const [task, folder = '.', size = '0', streamed = '0'] = process.argv.slice(2)
const address = process.env.TRUNKLINE_TO
const bytes = Number(size)

/** What goes through a forwarded connection before its end, and comes back after it. */
const REQUEST_BYTES = 2_000
const ANSWER_BYTES = 20_000
/** So much of each kind has to have moved before a session counts as under way. */
const MOVED_BYTES = 4 * 1024
const STARTS = 5
const COPIES = 3
const RETRY_MS = 20

/** One line of JSON: what happened. */
function say(event, fields = {}) {
  process.stdout.write(`${JSON.stringify({ event, ...fields })}\n`)
}

function codeOf(error) {
  return error instanceof TrunkError ? error.code : String(error?.stack ?? error)
}

function sha256(data) {
  return createHash('sha256').update(data).digest('hex')
}

function check(isRight, what) {
  if (isRight) return
  say('wrong', { what })
  process.exit(1)
}

// --- a stream of which every byte says whose it is -----------------------------------------------

const MARK_BYTES = 8
const RECORD_BYTES = 16
const BLOCK_BYTES = 64 * 1024

/**
 * Bytes from `offset` on, a multiple of a record: the mark, then the record's number, again and
 * again.
 */
function block(mark, offset) {
  const buffer = Buffer.alloc(BLOCK_BYTES)
  for (let at = 0; at < BLOCK_BYTES; at += RECORD_BYTES) {
    mark.copy(buffer, at)
    buffer.writeBigUInt64BE(BigInt((offset + at) / RECORD_BYTES), at + MARK_BYTES)
  }
  return buffer
}

/**
 * Sends `total` bytes (0: without end) with one mark and expects as many with the other, both at
 * once.
 */
async function exchange(pipe, { ours, theirs, total }, moved = () => {}) {
  const end = total === 0 ? Infinity : total
  const send = async () => {
    for (let sent = 0; sent < end; sent += BLOCK_BYTES) await pipe.write(block(ours, sent).subarray(0, end - sent))
    await pipe.closeWrite()
  }
  const receive = async () => {
    let got = 0
    let expected = Buffer.alloc(0)
    for await (const list of pipe.source) {
      const chunk = list.subarray()
      for (let at = 0; at < chunk.byteLength;) {
        const within = got % BLOCK_BYTES
        if (within === 0) expected = block(theirs, got)
        const part = chunk.subarray(at, at + BLOCK_BYTES - within)
        check(
          expected.subarray(within, within + part.byteLength).equals(part),
          'a byte of another session, or out of place',
        )
        at += part.byteLength
        got += part.byteLength
        moved(part.byteLength)
      }
    }
    check(got === end, `${got} bytes of ${end}, and then an end`)
  }
  await Promise.all([send(), receive()])
}

/** The serving side's marks are the driving side's with the first bit the other way round. */
function marks(params, isServing) {
  const mark = Buffer.from(params.mark)
  const other = Buffer.from(mark)
  other[0] ^= 0x80
  return { ours: isServing ? other : mark, theirs: isServing ? mark : other, total: params.total }
}

// --- the serving side ----------------------------------------------------------------------------

/** Answers each request after its end has come, and not before. */
async function requestServer() {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    const request = []
    socket.on('error', () => socket.destroy())
    socket.on('data', (chunk) => request.push(chunk))
    socket.on('end', () => socket.end(answerTo(Buffer.concat(request))))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return server.address().port
}

function answerTo(request) {
  return Buffer.alloc(ANSWER_BYTES, sha256(request))
}

async function serveForEver() {
  mkdirSync(folder, { recursive: true })
  const port = await requestServer()
  const down = randomBytes(bytes)
  writeFileSync(join(folder, 'down'), down)
  writeFileSync(join(folder, 'port'), String(port))
  /** What the present session's pipes failed with, and those that have not ended. */
  let codes = []
  const running = new Set()
  const marked = defineProtocol({
    name: 'marked',
    parse: (params) => params,
    async handle({ params, accept }) {
      const exchanging = exchange(accept(), marks(params, true))
      running.add(exchanging)
      try {
        await exchanging
      } catch (error) {
        codes.push(codeOf(error))
        throw error
      } finally {
        running.delete(exchanging)
      }
    },
  })
  say('calling')
  const server = await serve(address, {
    protocols: [filesystem({ root: folder }), tcpConnection({ allow: [`127.0.0.1:${port}`] }), marked, poured, poured2],
    onSessionError: ({ error }) => say('rejected', { code: codeOf(error) }),
  })
  say('serving', { digest: sha256(down) })
  for await (const trunk of server) {
    say('session', { peer: trunk.status().peer.epoch })
    trunk.closed.catch(async () => {
      await Promise.allSettled([...running])
      say('failed', { codes })
      codes = []
    })
  }
}

// --- the driving side ----------------------------------------------------------------------------

/** A session, as soon as there is one to be had. */
async function dial() {
  say('calling')
  let told
  for (;;) {
    try {
      return await connect(address)
    } catch (error) {
      const code = codeOf(error)
      if (code !== told) say('not yet', { code })
      told = code
      await pause(RETRY_MS)
    }
  }
}

async function digestOf(path) {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path)) hash.update(chunk)
  return hash.digest('hex')
}

/** Copies a file to the peer. Gives the seconds that took, and its digest as both sides see it. */
async function copyUp(files, name, data) {
  const from = join(folder, name)
  writeFileSync(from, data)
  const start = performance.now()
  await files.write(name, createReadStream(from))
  const seconds = (performance.now() - start) / 1000
  const digest = sha256(data)
  check(Buffer.from(await files.sha256(name)).toString('hex') === digest, `${name} is another one over there`)
  return { seconds, digest }
}

/** Copies the peer's file `down` here. */
async function copyDown(files) {
  const to = join(folder, 'copy')
  const start = performance.now()
  const file = createWriteStream(to)
  for await (const list of files.read('down')) if (!file.write(list.subarray())) await once(file, 'drain')
  file.end()
  await once(file, 'close')
  const seconds = (performance.now() - start) / 1000
  const digest = await digestOf(to)
  check(Buffer.from(await files.sha256('down')).toString('hex') === digest, 'down is another one over here')
  return { seconds, digest }
}

/**
 * `printf REQUEST | nc -N`, forwarded: sends a request over TCP, ends its side, and wants the whole
 * answer.
 */
async function forwardRequest(trunk, files) {
  const chunks = []
  for await (const list of files.read('port')) chunks.push(list.subarray())
  const port = Number(Buffer.concat(chunks))
  const forwarder = createServer({ allowHalfOpen: true }, async (socket) => {
    const pipe = await tcpConnect(trunk, { host: '127.0.0.1', port })
    // left to itself, an iteration that has come to its end destroys the socket, and with it the
    // answer's way
    const source = socket.iterator({ destroyOnReturn: false })
    await Promise.all([
      pipe.sink(source),
      (async () => {
        for await (const list of pipe.source) if (!socket.write(list.subarray())) await once(socket, 'drain')
        socket.end()
      })(),
    ])
  })
  forwarder.listen(0, '127.0.0.1')
  await once(forwarder, 'listening')
  const request = randomBytes(REQUEST_BYTES)
  const socket = connectTcp({ port: forwarder.address().port, host: '127.0.0.1', allowHalfOpen: true })
  socket.end(request)
  const answer = []
  for await (const chunk of socket) answer.push(chunk)
  check(Buffer.concat(answer).equals(answerTo(request)), 'the answer over the forwarded connection is not whole')
  forwarder.close()
}

/** Everything once, small: a session that can do this works. */
async function exercise(trunk) {
  const files = filesystemClient(trunk)
  await copyUp(files, 'small', randomBytes(2_000))
  await forwardRequest(trunk, files)
  const params = { mark: randomBytes(MARK_BYTES), total: 5_000 }
  const pipe = await trunk.open('marked', params)
  await exchange(pipe, marks(params, false))
  await pipe.close()
}

async function measure() {
  mkdirSync(folder, { recursive: true })
  const startMs = []
  const up = []
  const down = []
  for (let i = 0; i < STARTS; i++) {
    const start = performance.now()
    const trunk = await dial()
    await trunk.ping()
    startMs.push(performance.now() - start)
    await trunk.close()
  }
  const trunk = await dial()
  await exercise(trunk)
  const files = filesystemClient(trunk)
  for (let i = 0; i < COPIES; i++) {
    up.push(await copyUp(files, `up-${i}`, randomBytes(bytes)))
    down.push(await copyDown(files))
  }
  const streams = await overPipes(trunk, Number(streamed))
  await trunk.close()
  say('measured', { startMs, up, down, streams })
}

/** Runs until the session breaks; resolves with the code. */
async function untilBroken(use) {
  try {
    await use()
  } catch (error) {
    return codeOf(error)
  }
  return 'it ended'
}

async function* endless(moved) {
  for (;;) {
    yield randomBytes(MOVED_BYTES)
    moved(MOVED_BYTES)
  }
}

async function hold() {
  mkdirSync(folder, { recursive: true })
  for (;;) {
    const trunk = await dial()
    say('standing')
    await exercise(trunk)
    const files = filesystemClient(trunk)
    const counts = [0, 0, 0]
    let isMoving = false
    const mover = (index) => (count) => {
      counts[index] += count
      if (isMoving || counts.some((moved) => moved < MOVED_BYTES)) return
      isMoving = true
      say('moving')
    }
    const [exchanged, written, read] = [0, 1, 2].map(mover)
    const codes = await Promise.all([
      untilBroken(async () => {
        const params = { mark: randomBytes(MARK_BYTES), total: 0 }
        await exchange(await trunk.open('marked', params), marks(params, false), exchanged)
      }),
      untilBroken(() => files.write('endless', endless(written))),
      untilBroken(async () => {
        for (;;) for await (const list of files.read('down')) read(list.byteLength)
      }),
    ])
    say('failed', { codes })
  }
}

async function both() {
  const trunk = await dial()
  await trunk.ping()
  say('both ways', await bothWays(trunk, bytes))
  say('up alone', await bothWays(trunk, bytes / 2, { down: false }))
  say('down alone', await bothWays(trunk, bytes / 2, { up: false }))
  await trunk.close()
}

// --- without a session ---------------------------------------------------------------------------

async function answer() {
  await answerLinks(address, () => say('answering'))
}

async function bare() {
  say('poured', { streams: await overLink(address, Number(streamed)) })
}

const tasks = { serve: serveForEver, measure, hold, both, answer, bare }
check(
  address !== undefined && task in tasks,
  'usage: TRUNKLINE_TO=ADDRESS node program.mjs serve|measure|hold|both|answer|bare FOLDER BYTES STREAMED',
)
await tasks[task]()
