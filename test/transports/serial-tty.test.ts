/**
 * Terminals, on real pseudo-terminals: how they are set up, who may have them, how they come and
 * go.
 */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { getEventListeners, once } from 'node:events'
import { chmodSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { systemClock, type Clock } from '../../src/runtime/clock.ts'
import type { TrunkError } from '../../src/contracts/errors.ts'
import { nativeStatus } from '../../src/native/load.ts'
import type { Link, Listener, TransportOptions } from '../../src/contracts/types.ts'
import { serial } from '../../transports/serial.ts'
import { openTty } from '../../transports/serial/tty.ts'
import { firstOf, held, of, transportOptions } from '../conformance/transport-suite.ts'
import { eventually } from '../helpers/eventually.ts'
import { readAll, readBytes, seededBytes } from '../helpers/link-traffic.ts'
import { manualClock } from '../helpers/manual-clock.ts'
import { countHandles, nothingLeft } from '../helpers/process-handles.ts'
import { openPty, type Pty } from '../helpers/pty.ts'
import { ROOT } from '../helpers/root.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'
import { typeScript } from '../helpers/typescript.ts'

const folder = temporaryFolder()
let paths = 0
const freshPath = (): string => join(folder, `device-${paths++}`)
/** Devices that are missing are looked for every few milliseconds. */
const soon = (): TransportOptions => transportOptions(undefined, { reconnectMinMs: 2, reconnectMaxMs: 10 })
const open = (path: string): Promise<Link> => serial({ path }).connect(transportOptions())

/** Everything that arrives at the far end of a line, until it is as long as `length`. */
async function heardBy(pty: Pty, length: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let heard = 0
  for await (const chunk of pty.master.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    chunks.push(chunk)
    heard += chunk.byteLength
    if (heard >= length) break
  }
  return Buffer.concat(chunks)
}

async function withPty(use: (pty: Pty) => Promise<void>, options?: Parameters<typeof openPty>[0]): Promise<void> {
  const before = countHandles()
  const pty = await openPty(options)
  try {
    await use(pty)
  } finally {
    await pty.close()
  }
  await nothingLeft(before)
}

/** A clock that notes the waits that hold the process: those between attempts. */
function countingClock(clock: Clock): { clock: Clock; waits: number[] } {
  const waits: number[] = []
  const after: Clock['after'] = (delayMs, callback, hold) => {
    if (hold === true) waits.push(delayMs)
    return clock.after(delayMs, callback, hold)
  }
  return { clock: { now: () => clock.now(), after }, waits }
}

const settings = (path: string): string => execFileSync('stty', ['-F', path, '-a'], { encoding: 'utf8' })

describe('a terminal', () => {
  it('with echo, line editing and mapping passes all pairs of bytes both ways, and nothing else [R-120]', () =>
    withPty(
      async (pty) => {
        const link = await open(pty.path)
        const pairs = Buffer.alloc(2 * 65_536)
        for (let value = 0; value < 65_536; value++) pairs.writeUInt16BE(value, 2 * value)
        link.sink(held(of(pairs))).catch(() => undefined) // ends with the abort
        const hearing = heardBy(pty, pairs.length)
        assert.ok((await hearing).equals(pairs), 'there')
        pty.master.write(pairs)
        assert.ok((await readBytes(link, pairs.length)).equals(pairs), 'back')
        link.abort(new Error('over'))
        await link.close()
      },
      { cooked: true },
    ))

  it('is set up as it was asked for', () =>
    withPty(async (pty) => {
      const link = await serial(`serial://${pty.path}?baud=9600&stopBits=2&flow=rtscts`).connect(transportOptions())
      for (const setting of [/speed 9600 baud/, / cstopb/, / crtscts/, /-ixon/, /-ixoff/, /-icanon/, /-echo /]) {
        assert.match(settings(pty.path), setting)
      }
      await link.close()
    }))

  it(
    'is told not to lower its modem lines when it is closed',
    { skip: 'problem' in nativeStatus() && 'there is no native addon' },
    () =>
      withPty(async (pty) => {
        execFileSync('stty', ['-F', pty.path, 'hupcl'])
        assert.match(settings(pty.path), / hupcl/)
        const link = await open(pty.path)
        assert.match(settings(pty.path), /-hupcl/)
        await link.close()
      }),
  )

  it('that is in use is busy for a second opener, and free when the first has closed [R-123]', () =>
    withPty(async (pty) => {
      const link = await open(pty.path)
      await assert.rejects(open(pty.path), (error: Error & { code: string; scope: string }) => {
        assert.equal(error.code, 'ERR_BUSY')
        assert.equal(error.scope, 'link')
        return error.message.includes(pty.path)
      })
      await link.close()
      await (await open(pty.path)).close()
    }))

  it('that is slow has everything that was written when close has settled', () =>
    withPty(
      async (pty) => {
        const bytes = seededBytes(1, 150_000)
        const hearing = heardBy(pty, bytes.byteLength)
        const link = await open(pty.path)
        await link.sink(of(bytes))
        await link.close()
        assert.ok((await hearing).equals(bytes), 'all of it')
      },
      { rate: 200_000 },
    ))

  it('goes on being read after the end of what is written to it', () =>
    withPty(async (pty) => {
      const link = await open(pty.path)
      await link.sink(of(Buffer.from('question')))
      assert.equal((await heardBy(pty, 8)).toString(), 'question')
      pty.master.write('answer')
      assert.equal((await readBytes(link, 6)).toString(), 'answer')
      await link.close()
    }))

  it('that hangs up is a lost line, idle or in the middle of a flood either way [R-121]', async () => {
    for (const flood of ['idle', 'reading', 'writing', 'both'] as const) {
      await withPty(async (pty) => {
        const link = await open(pty.path)
        let read = 0
        const reading = (async () => {
          for await (const chunk of link.source) read += chunk.byteLength
        })()
        const endless = async function* () {
          if (flood === 'idle' || flood === 'reading') await new Promise(() => undefined)
          for (;;) yield new Uint8Array(4096)
        }
        const outcomes = Promise.allSettled([reading, link.sink(endless())])
        let heard = 0
        pty.master.on('data', (chunk: Buffer) => (heard += chunk.byteLength))
        const feed = (): void => {
          while (!pty.master.destroyed && pty.master.write(Buffer.alloc(16_384)));
        }
        if (flood === 'reading' || flood === 'both') {
          pty.master.on('drain', feed)
          feed()
          await eventually(() => read > 500_000, 'bytes arrive')
        }
        if (flood === 'writing' || flood === 'both') await eventually(() => heard > 500_000, 'bytes leave')
        await pty.close()
        for (const outcome of await outcomes) {
          assert.ok(outcome.status === 'rejected', flood)
          assert.deepEqual(
            [(outcome.reason as TrunkError).code, (outcome.reason as TrunkError).scope],
            ['ERR_LINK_LOST', 'link'],
            flood,
          )
        }
        await link.close()
      })
    }
  })
})

describe('the device of a terminal', () => {
  it('that is read after a hang-up, before anybody has told of it, is lost and has no end [R-121]', () =>
    withPty(async (pty) => {
      const settings = { baud: 9600, parity: 'none', stopBits: 1, flow: 'none' } as const
      const device = (await openTty(pty.path, settings))(() => assert.fail('nothing was asked for'))
      assert.equal(device.read(new Uint8Array(8)), undefined)
      await pty.close()
      assert.throws(() => device.read(new Uint8Array(8)), { code: 'ERR_LINK_LOST' })
      assert.throws(() => device.write([new Uint8Array(8)]), { code: 'EIO' })
      await device.close(true)
    }))
})

describe('connecting to a device', () => {
  it('that is missing waits longer and longer, then names it and the wait [R-121] [R-061]', async () => {
    const clock = manualClock()
    const { clock: counting, waits } = countingClock(clock)
    const path = freshPath()
    let outcome: (Error & { code?: string }) | undefined
    serial({ path })
      .connect({ ...transportOptions(), clock: counting })
      .catch((error: unknown) => (outcome = error as Error))
    for (let turns = 0; outcome === undefined; turns++) {
      await eventually(() => clock.pending === 1 || outcome !== undefined, 'an attempt has failed')
      const due = waits.at(-1)
      if (clock.pending === 1 && due !== undefined) clock.advance(due)
      assert.ok(turns < 50, 'it goes on and on')
    }
    assert.equal(outcome.code, 'ERR_NOT_FOUND')
    assert.ok(outcome.message.includes(path) && outcome.message.includes('10000 ms'), outcome.message)
    assert.equal(clock.now(), 10_000)
    assert.equal(clock.pending, 0)
    // the last one is what is left until the deadline
    for (const [index, figure] of [100, 200, 400, 800, 1600, 3200].entries()) {
      const wait = waits[index] ?? 0
      assert.ok(wait >= 0.8 * figure && wait <= 1.2 * figure, `${wait} ms instead of about ${figure} ms`)
    }
  })

  it('that is missing gives the link when it comes', () =>
    withPty(async (pty) => {
      const path = freshPath()
      const { clock, waits } = countingClock(systemClock)
      const connecting = serial({ path }).connect({ ...soon(), clock })
      await eventually(() => waits.length > 3, 'some attempts have failed')
      symlinkSync(pty.path, path)
      const link = await connecting
      await link.sink(of(Buffer.from('there')))
      assert.equal((await heardBy(pty, 5)).toString(), 'there')
      await link.close()
    }))

  it('that is missing stops at once with the reason of the signal [R-047]', async () => {
    const controller = new AbortController()
    const clock = manualClock()
    const reason = new Error('changed my mind')
    const connecting = serial({ path: freshPath() }).connect({ ...transportOptions(controller.signal), clock })
    await eventually(() => clock.pending === 1, 'it waits')
    controller.abort(reason)
    await assert.rejects(connecting, (error) => error === reason)
    assert.equal(clock.pending, 0)
    assert.equal(getEventListeners(controller.signal, 'abort').length, 0)
  })

  it('that may not be opened fails at once and says who may [R-121]', () =>
    withPty(async (pty) => {
      const isRoot = process.geteuid?.() === 0
      chmodSync(pty.path, isRoot ? 0o600 : 0o000)
      if (isRoot) process.seteuid?.(65_534)
      try {
        for (const attempt of [() => open(pty.path), () => serial({ path: pty.path }).listen(transportOptions())]) {
          await assert.rejects(attempt(), (error: Error & { code: string }) => {
            assert.equal(error.code, 'ERR_ACCESS')
            assert.match(error.message, isRoot ? /mode 0600, user 0, group \w+/ : /mode 0000, user \d+, group \w+/)
            return error.message.includes(pty.path)
          })
        }
      } finally {
        if (isRoot) process.seteuid?.(0)
      }
    }))

  it('that is none fails at once and says what it is', async () => {
    const before = countHandles()
    const [file, socket] = [freshPath(), freshPath()]
    writeFileSync(file, '')
    const server = createServer().listen(socket)
    await once(server, 'listening')
    for (const [path, says] of [
      [file, 'no character device'],
      [folder, 'no character device'],
      [socket, `serial+unix://${socket}`],
    ] as const) {
      for (const attempt of [() => open(path), () => serial({ path }).listen(transportOptions())]) {
        await assert.rejects(attempt(), (error: Error & { code: string }) => {
          assert.equal(error.code, 'ERR_UNSUPPORTED')
          return error.message.includes(path) && error.message.includes(says)
        })
      }
    }
    server.close()
    await once(server, 'close')
    await nothingLeft(before)
  })
})

describe('listening at a device', () => {
  const next = async (links: AsyncIterator<Link>): Promise<Link> => {
    const result = (await links.next()) as IteratorResult<Link, undefined>
    assert.ok(result.done !== true, 'there is a link')
    return result.value
  }
  const iterate = (listener: Listener): AsyncIterator<Link> => listener[Symbol.asyncIterator]()

  it('gives a link for each opening, again when it was closed and when it was lost [R-121]', async () => {
    const before = countHandles()
    const path = freshPath()
    const listener = await serial({ path }).listen(soon())
    assert.equal(listener.address, `serial://${path}`)
    const links = iterate(listener)
    for (const ending of ['close', 'lost', 'abort', 'lost']) {
      const pty = await openPty()
      const coming = next(links)
      symlinkSync(pty.path, path)
      const link = await coming
      assert.equal(link.peer, path)
      const [sent, heard] = await Promise.all([link.sink(of(Buffer.from(ending))), heardBy(pty, ending.length)])
      assert.equal(sent, undefined)
      assert.equal(heard.toString(), ending)
      if (ending === 'close') {
        await link.close()
        // the same device once more
        await (await next(links)).close()
      } else if (ending === 'abort') link.abort(new Error('enough'))
      const taken = ending === 'lost' ? [link] : [link, await next(links)]
      unlinkSync(path)
      await pty.close()
      await assert.rejects(readAll(taken.at(-1)!), { code: 'ERR_LINK_LOST' })
      await Promise.all(taken.map((one) => one.close()))
    }
    const ended = links.next()
    await listener.close()
    assert.equal((await ended).done, true)
    await nothingLeft(before)
  })

  it('that is in use waits until it is free', () =>
    withPty(async (pty) => {
      const holder = await open(pty.path)
      const listener = await serial({ path: pty.path }).listen(soon())
      const coming = firstOf(listener)
      await holder.close()
      const link = await coming
      await Promise.all([listener.close(), link.close()])
    }))

  it('leaves a link that was given alone when it is closed, and opens no other', () =>
    withPty(async (pty) => {
      const listener = await serial({ path: pty.path }).listen(soon())
      const links = iterate(listener)
      const link = await next(links)
      await listener.close()
      await link.sink(of(Buffer.from('still here')))
      assert.equal((await heardBy(pty, 10)).toString(), 'still here')
      assert.equal((await links.next()).done, true)
      await link.close()
      await (await open(pty.path)).close()
    }))

  it('waits longer and longer for a device that goes as soon as it comes, and not for one that stood', async () => {
    const clock = manualClock()
    const { clock: counting, waits } = countingClock(clock)
    await withPty(async (pty) => {
      const listener = await serial({ path: pty.path }).listen({ ...transportOptions(), clock: counting })
      const links = iterate(listener)
      const reopen = async (): Promise<void> => {
        const link = await next(links)
        link.abort(new Error('over at once'))
      }
      await reopen()
      await reopen()
      for (const figure of [100, 200, 400]) {
        await eventually(() => clock.pending === 1, 'it waits')
        const wait = waits.at(-1) ?? 0
        assert.ok(wait >= 0.8 * figure && wait <= 1.2 * figure, `${wait} ms instead of about ${figure} ms`)
        clock.advance(wait)
        await reopen()
      }
      await eventually(() => clock.pending === 1, 'it waits')
      clock.advance(waits.at(-1) ?? 0)
      const count = waits.length
      const link = await next(links)
      clock.advance(5_000)
      link.abort(new Error('after a while'))
      const again = await next(links)
      assert.equal(waits.length, count, 'it waited')
      await listener.close()
      again.abort(new Error('over'))
      await again.close()
    })
  })
})

describe('the package serialport', () => {
  /** Runs a module in a process of its own; gives what it printed. */
  const run = (code: string): string =>
    execFileSync(process.execPath, typeScript('--input-type=module', '-e', code), {
      cwd: ROOT,
      encoding: 'utf8',
    })
  const module = JSON.stringify(new URL('../../transports/serial.ts', import.meta.url).href)
  const clock = JSON.stringify(new URL('../../src/runtime/clock.ts', import.meta.url).href)
  const limits = JSON.stringify(new URL('../../src/contracts/limits.ts', import.meta.url).href)
  const begin = `
    const { serial } = await import(${module})
    const { systemClock: clock } = await import(${clock})
    const { resolveLimits } = await import(${limits})
    const options = { signal: new AbortController().signal, clock, limits: resolveLimits({ reconnectMinMs: 5 }) }`

  it('is asked for, with advice, where it is missing and a terminal is opened [R-136]', () =>
    withPty(async (pty) => {
      const hook = `export async function resolve(name, context, next) {
        if (name === 'serialport') throw Object.assign(new Error('no'), { code: 'ERR_MODULE_NOT_FOUND' })
        return next(name, context)
      }`
      const printed = run(`
        import { register } from 'node:module'
        register('data:text/javascript,' + encodeURIComponent(${JSON.stringify(hook)}))
        ${begin}
        const { code, message } = await serial({ path: ${JSON.stringify(pty.path)} }).connect(options).catch((error) => error)
        console.log(code, message)`)
      assert.match(printed, /^ERR_TRANSPORT_UNAVAILABLE .*npm install serialport/)
    }))

  it('is loaded by opening a terminal and by nothing else', () =>
    withPty(async (pty) => {
      const printed = run(`
        import { readFileSync } from 'node:fs'
        ${begin}
        const loaded = () => readFileSync('/proc/self/maps', 'utf8').includes('serialport')
        const transport = serial({ path: ${JSON.stringify(pty.path)} })
        const before = loaded()
        const link = await transport.connect(options)
        console.log(before, loaded())
        await link.close()`)
      assert.equal(printed, 'false true\n')
    }))

  it('lets the process wait for a device, and exit when the line is closed [R-127]', () =>
    withPty(async (pty) => {
      const path = freshPath()
      const code = `
        ${begin}
        const listener = await serial({ path: ${JSON.stringify(path)} }).listen(options)
        console.log('listening')
        for await (const link of listener) {
          console.log('link')
          await Promise.all([listener.close(), link.close()])
        }`
      const args = typeScript('--input-type=module', '-e', code)
      const child = spawn(process.execPath, args, { cwd: ROOT, stdio: ['ignore', 'pipe', 'inherit'] })
      let printed = ''
      child.stdout.on('data', (chunk: Buffer) => (printed += chunk.toString()))
      const exited = once(child, 'exit')
      await eventually(() => printed === 'listening\n', 'it listens', 20_000)
      symlinkSync(pty.path, path)
      assert.deepEqual(await exited, [0, null])
      assert.equal(printed, 'listening\nlink\n')
    }))
})
