/** Who tells when a terminal is ready: what is told, and that what it schedules runs at once. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { describe, it } from 'node:test'
import { nativeStatus, READABLE, WRITABLE } from '../../src/native/load.ts'
import { packageReadiness, type PackagePoller } from '../../transports/serial/readiness.ts'
import { eventually } from '../helpers/eventually.ts'
import { openPty } from '../helpers/pty.ts'
import { ROOT } from '../helpers/root.ts'
import { typeScript } from '../helpers/typescript.ts'

/** The package's poller, which notes what it is asked for; `emit` is what libuv would call. */
class Poller extends EventEmitter implements PackagePoller {
  polled = -1
  poll(events: number): void {
    this.polled = events
  }
}

/** What a test was told, in its order: `events`, or the error's message. */
function watched(): { poller: Poller; told: (number | string)[]; readiness: ReturnType<typeof packageReadiness> } {
  const poller = new Poller()
  const told: (number | string)[] = []
  const readiness = packageReadiness(poller, (error, events) => told.push(error?.message ?? events))
  return { poller, told, readiness }
}

describe('the readiness that serialport tells', () => {
  it('is told in the next turn, never from within the poller, and both events of a turn together [R-450]', async () => {
    const { poller, told, readiness } = watched()
    readiness.want(READABLE | WRITABLE)
    poller.emit('readable', null)
    poller.emit('writable', null)
    assert.deepEqual(told, [])
    assert.equal(poller.polled, 0, 'it would be told of again and again')
    await nextTurn()
    assert.deepEqual(told, [READABLE | WRITABLE])
    assert.equal(poller.polled, READABLE | WRITABLE)
  })

  it('leaves what was not told yet out of what is wanted anew', async () => {
    const { poller, told, readiness } = watched()
    readiness.want(READABLE)
    poller.emit('readable', null)
    readiness.want(READABLE | WRITABLE)
    assert.equal(poller.polled, WRITABLE)
    await nextTurn()
    assert.deepEqual([told, poller.polled], [[READABLE], READABLE | WRITABLE])
  })

  it('fails once, and polls no more then', async () => {
    const { poller, told, readiness } = watched()
    readiness.want(READABLE)
    poller.polled = -1
    for (const event of ['readable', 'writable']) poller.emit(event, new Error('gone'))
    await nextTurn()
    assert.deepEqual([told, poller.polled], [['gone'], -1])
  })

  it('is not told after it was closed', async () => {
    const { poller, told, readiness } = watched()
    readiness.want(READABLE)
    poller.emit('readable', null)
    readiness.close()
    await nextTurn()
    assert.deepEqual(told, [])
    assert.equal(poller.listenerCount('readable'), 0)
  })
})

/** The first answer may be let out by what loading has left under way. */
const ROUNDS = 20

describe('what a terminal’s readiness schedules', () => {
  const modules = {
    tty: new URL('../../transports/serial/tty.ts', import.meta.url).href,
    load: new URL('../../src/native/load.ts', import.meta.url).href,
  }
  /**
   * Echoes, by what was scheduled. A process in which nothing else happens: what is left for the
   * loop’s next waking is left for ever.
   */
  const program = (path: string): string => `
    const { openTty } = await import(${JSON.stringify(modules.tty)})
    const { READABLE } = await import(${JSON.stringify(modules.load)})
    const settings = { baud: 115200, parity: 'none', stopBits: 1, flow: 'none' }
    const open = await openTty(${JSON.stringify(path)}, settings)
    const room = new Uint8Array(64)
    const device = open((error, events) => {
      const length = device.read(room) ?? 0
      const heard = room.slice(0, length)
      process.nextTick(() => Promise.resolve().then(() => device.write([heard])))
    })
    device.want(READABLE)
    process._rawDebug('open')`

  for (const addon of [true, false]) {
    const missing = addon && 'problem' in nativeStatus() ? 'there is no native addon' : false
    it(`runs at once ${addon ? 'with' : 'without'} the native addon [R-451]`, { skip: missing }, async () => {
      const pty = await openPty()
      const child = spawn(process.execPath, typeScript('--input-type=module', '-e', program(pty.path)), {
        cwd: ROOT,
        stdio: ['ignore', 'ignore', 'pipe'],
        env: { ...process.env, TRUNKLINE_NO_ADDON: addon ? '' : '1' },
      })
      const exited = once(child, 'exit')
      let printed = ''
      child.stderr.on('data', (chunk: Buffer) => (printed += chunk.toString()))
      try {
        await eventually(() => printed === 'open\n', 'it watches', 20_000)
        let heard = 0
        pty.master.on('data', (chunk: Buffer) => (heard += chunk.byteLength))
        for (let round = 1; round <= ROUNDS; round++) {
          pty.master.write('x')
          await eventually(() => heard === round, `answer ${round}`)
        }
      } finally {
        child.kill('SIGKILL')
        await exited
        await pty.close()
      }
    })
  }
})
