/**
 * Transfers over a pair of terminals with a noisy relay between: sessions end and come back, and
 * what a transfer says is done is done, byte for byte.
 */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { filesystem, filesystemClient } from '../../protocols/filesystem.ts'
import { connect, serve, type Limits, TrunkError, type ReconnectingTrunk } from '../../src/index.ts'
import { childProgram, type ChildProgram } from '../helpers/child-program.ts'
import { compiledFixture } from '../helpers/compiled.ts'
import { eventually } from '../helpers/eventually.ts'
import { keyed, keyedReader } from '../helpers/keyed-stream.ts'
import { expectNoLeaks } from '../helpers/no-leaks.ts'
import { NOISES, NoisyLine, type Noise } from '../helpers/noisy-line.ts'
import { collect, echo, outcome } from '../helpers/protocols.ts'
import { ptyPair } from '../helpers/pty.ts'
import { steadyEcho } from '../helpers/steady-echo.ts'
import { noStrayRejections } from '../helpers/stray-rejections.ts'
import { temporaryFolder } from '../protocols/filesystem/served.ts'

noStrayRejections()

/** A transfer is hit about every second time, so that it takes a few attempts, and gets there. */
const FILE_BYTES = 24_000
const [MESSAGES, MESSAGE_BYTES] = [40, 300]
const EVERY_BYTES = 30_000
/** Each is repeated until it gets there. */
const TRANSFERS = 4
const MAX_ATTEMPTS = 60
/** Less waitsForever than the defaults, so that a test is over sooner; the rules are the same. */
const LIMITS: Partial<Limits> = {
  helloRepeatMs: 100,
  keepaliveMs: 1_000,
  keepaliveTimeoutMs: 2_000,
  reconnectMinMs: 10,
  reconnectMaxMs: 100,
}
/** By which a session on such a line may end, and with it what was under way. */
const ENDS = /^ERR_(LINE_DAMAGED|PEER_RESTARTED|KEEPALIVE_TIMEOUT)$/
/** And a session that did not come to be. */
const ATTEMPT_ENDS = /^ERR_(LINE_DAMAGED|PEER_RESTARTED|KEEPALIVE_TIMEOUT|HELLO_TIMEOUT)$/

function seedOf(t: TestContext): number {
  const seed = Number(process.env.NOISE_SEED ?? Math.floor(Math.random() * 1e6))
  t.diagnostic(`seed ${seed}: NOISE_SEED=${seed} node test/run.mjs test/faults/noisy`)
  return seed
}

/**
 * Repeats `transfer` until it gets there; each failure has a code of a lost session. Gives the
 * number of attempts.
 */
async function until(transfer: () => Promise<void>): Promise<number> {
  for (let attempt = 1; attempt <= MAX_ATTEMPTS; attempt++) {
    try {
      await transfer()
      return attempt
    } catch (error) {
      const { code } = error as Partial<TrunkError>
      // a wrong byte is no code: that is the test's failure
      if (code === undefined || !ENDS.test(code)) throw error
    }
  }
  assert.fail(`not in ${MAX_ATTEMPTS} attempts`)
}

/**
 * Short messages, each alone on the line and answered: no later frame tells of what is wrong with
 * the one before it.
 */
async function converse(trunk: ReconnectingTrunk): Promise<void> {
  const talk = steadyEcho(trunk, MESSAGE_BYTES, 0)
  let over = false
  const ended = talk.ended.finally(() => (over = true))
  ended.catch(() => undefined) // awaited below
  await eventually(() => over || talk.rounds() >= MESSAGES, 'the messages', 60_000)
  talk.stop()
  const code = await ended
  if (code !== undefined) throw new TrunkError(code, 'the conversation was cut')
}

/** Each kind of transfer, several times. Gives the attempts that it took. */
async function transferAll(trunk: ReconnectingTrunk, folder: string): Promise<number> {
  const files = filesystemClient(trunk)
  const read = randomBytes(FILE_BYTES)
  writeFileSync(join(folder, 'read'), read)
  let attempts = 0
  for (let round = 0; round < TRANSFERS; round++) {
    const [old, written] = [randomBytes(100), randomBytes(FILE_BYTES)]
    const path = join(folder, 'written')
    writeFileSync(path, old)
    attempts += await until(async () => {
      const confirmed = files.write('written', written, { durable: false })
      const code = await outcome(confirmed)
      const there = readFileSync(path)
      if (code === 'resolved') assert.ok(there.equals(written), 'it is said to be written and is not')
      // not confirmed: it may have been done all the same, but never by half
      else assert.ok(there.equals(written) || there.equals(old), 'a file that is half of one and half of another')
      await confirmed
    })
    attempts += await until(async () => {
      assert.ok((await collect(files.read('read'))).equals(read), 'what was read to its end is not the file')
    })
    attempts += await until(async () => {
      const pipe = await trunk.open('keyed', { key: round, bytes: FILE_BYTES })
      const check = keyedReader(round)
      for await (const list of pipe.source) for (const chunk of list) check(chunk)
      assert.equal(check.bytes, FILE_BYTES)
    })
    attempts += await until(() => converse(trunk))
  }
  return attempts
}

/**
 * Of a reconnecting trunk: every attempt and every session ended by a code that such a line may
 * cause.
 */
function watched(ends: string[]): { onConnection: (status: { state: string; error?: TrunkError }) => void } {
  return {
    onConnection: ({ state, error }) => {
      if (state === 'waiting' && error !== undefined) ends.push(error.code)
    },
  }
}

describe('a noisy serial line', { concurrency: true, timeout: 200_000 }, () => {
  const LINES: Record<string, readonly Noise[]> = {
    ...Object.fromEntries(NOISES.map((noise) => [noise, [noise]])),
    'all of it': NOISES,
  }
  for (const [what, noises] of Object.entries(LINES)) {
    it(`(${what}) transfers get there over restarts, whole or not at all [R-261]`, async (t) => {
      const line = new NoisyLine({ seed: seedOf(t), noises, everyBytes: EVERY_BYTES })
      const folder = temporaryFolder(t)
      const pair = await ptyPair({ via: line.via })
      t.after(() => pair.close())
      const server = await serve(`serial://${pair.far}`, {
        protocols: [echo, keyed, filesystem({ root: folder })],
        limits: LIMITS,
      })
      t.after(() => server.close())
      const ends: string[] = []
      const trunk = await connect(`serial://${pair.near}`, { reconnect: true, limits: LIMITS, ...watched(ends) })
      t.after(() => {
        trunk.abort(new Error('the test is over'))
      })
      const attempts = await transferAll(trunk, folder)
      t.diagnostic(`${attempts} attempts for ${4 * TRANSFERS} transfers in ${trunk.connection.sessions} sessions`)
      t.diagnostic([...line.happened].map(([noise, times]) => `${noise} ${times}`).join(', '))
      assert.ok(line.happened.size > 0, 'nothing has happened to the line')
      for (const code of ends) assert.match(code, ATTEMPT_ENDS)
      line.noisy = false
      // the line as it ought to be: it works, and is closed
      await until(async () => {
        await trunk.ping()
      })
      await trunk.close()
      await eventually(() => readdirSync(folder).length === 2, 'no temporary file is left', 10_000)
    })
  }

  it('with a guest that is killed and started again meanwhile [R-262]', async (t) => {
    const line = new NoisyLine({ seed: seedOf(t), everyBytes: EVERY_BYTES })
    const folder = temporaryFolder(t)
    const pair = await ptyPair({ via: line.via })
    t.after(() => pair.close())
    const start = async (): Promise<ChildProgram> => {
      const guest = childProgram(`
        import { filesystem } from './protocols/filesystem.ts'
        import { keyed } from './test/helpers/keyed-stream.ts'
        import { echo } from './test/helpers/protocols.ts'
        await serve(${JSON.stringify(`serial://${pair.far}`)}, {
          protocols: [echo, keyed, filesystem({ root: ${JSON.stringify(folder)} })], limits: ${JSON.stringify(LIMITS)},
        })
        console.log('serving')`)
      await eventually(() => guest.lines.length > 0, `the guest serves ${guest.errors()}`, 20_000)
      return guest
    }
    let guest = await start()
    t.after(() => {
      guest.kill('SIGKILL')
    })
    const ends: string[] = []
    const trunk = await connect(`serial://${pair.near}`, { reconnect: true, limits: LIMITS, ...watched(ends) })
    t.after(() => {
      trunk.abort(new Error('the test is over'))
    })
    const transfers = transferAll(trunk, folder)
    let over = false
    void transfers.catch(() => undefined).then(() => (over = true))
    for (let life = 1; life <= 3; life++) {
      const { bytesRead, bytesWritten } = trunk.status()
      const moved = (): number => trunk.status().bytesRead + trunk.status().bytesWritten
      await eventually(() => over || Math.abs(moved() - bytesRead - bytesWritten) > FILE_BYTES / 2, 'work', 60_000)
      guest.kill('SIGKILL')
      await guest.exited
      assert.equal(guest.errors(), '')
      guest = await start()
    }
    t.diagnostic(`${await transfers} attempts for ${4 * TRANSFERS} transfers in ${trunk.connection.sessions} sessions`)
    for (const code of ends) assert.match(code, ATTEMPT_ENDS)
    line.noisy = false
    await trunk.close()
  })
})

describe('a serial line that is too noisy for any session', { timeout: 60_000 }, () => {
  it('keeps nobody who gives it up: all that waited settles, and nothing is left [R-263]', async (t) => {
    await compiledFixture('pty')
    const folder = temporaryFolder(t)
    await expectNoLeaks(async () => {
      const line = new NoisyLine({ seed: seedOf(t), everyBytes: 60 })
      const pair = await ptyPair({ via: line.via })
      const server = await serve(`serial://${pair.far}`, { protocols: [filesystem({ root: folder })], limits: LIMITS })
      t.after(() => Promise.all([server.close(), pair.close()]))
      const giveUp = new AbortController()
      const attempt = outcome(
        connect(`serial://${pair.near}`, { reconnect: true, limits: LIMITS, signal: giveUp.signal }),
      )
      const single = outcome(connect(`serial://${pair.near}`, { limits: { ...LIMITS, helloTimeoutMs: 600 } }))
      await eventually(() => line.happened.size === NOISES.length, 'noise', 20_000)
      giveUp.abort(new TrunkError('ERR_ABORTED', 'given up'))
      assert.equal(await attempt, 'ERR_ABORTED')
      // the port is shared by both attempts, or not: either way it ends with a code
      assert.match(await single, /^ERR_/)
      await server.close()
      await pair.close()
    })
  })
})
