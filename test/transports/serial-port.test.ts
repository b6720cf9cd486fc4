/**
 * A guest's virtio port: the facts of the device (see the double), by a clock that is turned by
 * hand; and devices that this machine has.
 */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { describe, it } from 'node:test'
import { systemClock } from '../../src/runtime/clock.ts'
import { DEFAULT_LIMITS } from '../../src/contracts/limits.ts'
import { nativeStatus } from '../../src/native/load.ts'
import { DeviceDuplex } from '../../transports/serial/device-duplex.ts'
import { serial } from '../../transports/serial.ts'
import { eventually, steady } from '../helpers/eventually.ts'
import { readBytes } from '../helpers/link-traffic.ts'
import { manualClock, type ManualClock } from '../helpers/manual-clock.ts'
import { countHandles, nothingLeft } from '../helpers/process-handles.ts'
import { VirtioDouble } from '../helpers/virtio-double.ts'

interface Guest {
  readonly port: VirtioDouble
  readonly device: DeviceDuplex
  readonly clock: ManualClock
  /** What the guest has read. */
  text(): string
}

function guest(): Guest {
  const clock = manualClock()
  const port = new VirtioDouble()
  const device = new DeviceDuplex(port.open, clock)
  let text = ''
  device.on('data', (chunk: Uint8Array) => {
    text += Buffer.from(chunk).toString('latin1')
  })
  return { port, device, clock, text: () => text }
}

/** Turns of the event loop enough for everything that is under way. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await nextTurn()
}

describe('a virtio port whose host is not there', () => {
  it('neither ends nor is asked again and again, but looked at after a while', async () => {
    const { port, device, clock, text } = guest()
    device.on('end', () => assert.fail('it has ended'))
    await settle()
    assert.equal(clock.pending, 1)
    let calls = port.calls
    for (const ms of [50, 100, 200, 250, 250, 250]) {
      clock.advance(ms - 1)
      await settle()
      assert.equal(port.calls, calls, `asked before ${ms} ms were over`)
      clock.advance(1)
      await settle()
      assert.equal(port.calls, ++calls, `not asked after ${ms} ms`)
    }
    assert.equal(text(), '')
    device.destroy()
  })

  it('goes on with the same descriptor when the host comes, leaves and is back', async () => {
    const { port, device, clock, text } = guest()
    await settle()
    for (const word of ['one ', 'two ', 'three ']) {
      const host = port.connectHost()
      host.resume()
      host.write(word)
      clock.advance(250)
      await settle()
      host.destroy()
      await settle()
    }
    assert.equal(text(), 'one two three ')
    assert.equal(port.closed, undefined)
    device.destroy()
  })

  it('lets what is written wait for the host, once and whole', async () => {
    const { port, device, clock } = guest()
    let left = 0
    for (const word of ['a', 'bc', 'def']) device.write(word, () => left++)
    await settle()
    clock.advance(1_000)
    await settle()
    assert.equal(left, 0)
    let heard = ''
    port.connectHost().on('data', (chunk: Buffer) => {
      heard += chunk.toString()
    })
    clock.advance(250)
    await settle()
    assert.equal(heard, 'abcdef')
    assert.equal(left, 3)
    device.destroy()
  })

  it('does not spin for a writer while nobody reads on this side either', async () => {
    const clock = manualClock()
    const port = new VirtioDouble()
    const device = new DeviceDuplex(port.open, clock)
    device.write('x')
    await settle()
    const calls = port.calls
    await settle()
    assert.equal(port.calls, calls)
    assert.equal(clock.pending, 1)
    device.destroy()
  })

  it('is watched and not looked at while the host is there', async () => {
    const { port, device, clock, text } = guest()
    const host = port.connectHost()
    host.resume()
    await settle()
    clock.advance(50)
    await settle()
    assert.equal(clock.pending, 0)
    host.write('at once')
    await settle()
    assert.equal(text(), 'at once')
    device.destroy()
  })

  it('leaves no timer behind when it is destroyed', async () => {
    const { device, clock, port } = guest()
    await settle()
    device.destroy()
    await settle()
    assert.equal(clock.pending, 0)
    assert.deepEqual(port.closed, { drop: true })
  })
})

describe('a virtio port', () => {
  it('is read no further than its reader asks', async () => {
    const clock = manualClock()
    const port = new VirtioDouble()
    const device = new DeviceDuplex(port.open, clock)
    const host = port.connectHost()
    let taken = 0
    const chunk = Buffer.alloc(64 * 1024, 7)
    const feed = (): void => {
      host.write(chunk, () => {
        taken += chunk.byteLength
        if (taken < 64 * 1024 * 1024) feed()
      })
    }
    feed()
    device.read(0)
    await steady(() => taken, 50)
    assert.ok(taken < 5 * 1024 * 1024, `the host got rid of ${taken} bytes`)
    device.destroy()
    host.destroy()
  })

  it('fails with the loss of the line when it is unplugged, and is freed [R-121]', async () => {
    const { port, device, clock } = guest()
    port.connectHost()
    await settle()
    clock.advance(50)
    const failed = new Promise<Error & { code?: string }>((resolve) => device.on('error', resolve))
    port.unplug()
    const { code, cause } = await failed
    assert.equal(code, 'ERR_LINK_LOST')
    assert.equal((cause as { code: string }).code, 'ENODEV')
    await settle()
    assert.ok(port.closed !== undefined && clock.pending === 0 && device.closed)
  })

  it('ends both sides after what was written has left', async () => {
    const { port, device } = guest()
    const host = port.connectHost()
    let heard = 0
    device.end(Buffer.alloc(3 * 1024 * 1024))
    host.on('data', (chunk: Buffer) => {
      heard += chunk.byteLength
    })
    await eventually(() => device.closed, 'the device is closed')
    assert.deepEqual(port.closed, { drop: false })
    await settle()
    assert.equal(heard, 3 * 1024 * 1024)
    host.destroy()
  })
})

const status = nativeStatus()
const noAddon = 'problem' in status ? status.problem : false
/** Gives bytes for ever, takes what is written, can be polled, and is no terminal. */
const DEVICE = '/dev/random'

describe('a character device that is no terminal', { skip: noAddon || (!existsSync(DEVICE) && `no ${DEVICE}`) }, () => {
  const options = { signal: new AbortController().signal, clock: systemClock, limits: DEFAULT_LIMITS }

  it('is read and written without a thread, and freed', async () => {
    const before = countHandles()
    const link = await serial({ path: DEVICE }).connect(options)
    const written = link.sink(
      (async function* () {
        yield Buffer.alloc(100_000, 1)
      })(),
    )
    assert.ok((await readBytes(link, 1024 * 1024)).byteLength >= 1024 * 1024)
    await written
    await link.close()
    await nothingLeft(before)
  })

  it('that can never be ready is refused as no line', async () => {
    const before = countHandles()
    await assert.rejects(serial({ path: '/dev/null' }).connect(options), { code: 'ERR_UNSUPPORTED', scope: 'link' })
    await nothingLeft(before)
  })
})
