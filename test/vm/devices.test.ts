/**
 * What the devices do at their edges: the facts that a session over a serial line has to live with
 * (docs/reference/wire-format.md, "Connectionless links"). Nothing of trunkline runs here. If one
 * of these fails with a newer kernel or QEMU, the line has changed, and the page with it.
 */
import assert from 'node:assert/strict'
import { after, before, beforeEach, describe, it } from 'node:test'
import { steady } from '../helpers/eventually.ts'
import { Guest, GUEST_SERIAL, GUEST_UART } from './bed/guest.ts'
import { run } from './bed/job.ts'
import { prepareBed } from './bed/prepare.ts'
import { TwoEndedDevice, type HostClient } from './bed/two-ended.ts'

const MiB = 1024 * 1024
/** Longer than any pause of a line that still moves. */
const QUIET_MS = 500
const UART_FIFO_BYTES = 16

describe('the devices', () => {
  let guest: Guest
  let port: TwoEndedDevice
  let uart: TwoEndedDevice

  before(async () => {
    guest = await Guest.boot({ bed: await prepareBed() })
    port = new TwoEndedDevice(guest, 'serial', GUEST_SERIAL)
    uart = new TwoEndedDevice(guest, 'uart', GUEST_UART)
  })

  after(async () => {
    // undefined where it did not boot
    await (guest as Guest | undefined)?.stop()
  })

  for (const name of ['a virtio-serial port', 'an emulated UART']) {
    const isPort = name.includes('virtio')
    describe(name, () => {
      const kept = isPort ? 'all' : 'all but the first bytes'
      let device: TwoEndedDevice

      beforeEach(async () => {
        device = isPort ? port : uart
        await device.reset()
      })

      it('runs an old and a new session of the host together, with no mark between them', async () => {
        const old = await device.connect()
        old.write('old;')
        await arrival(4)
        await device.leave(old)
        const fresh = await device.connect()
        fresh.write('new')
        assert.equal(await device.read(7), 'old;new')
      })

      it('may hide that the host has left and come back: a blocked read goes on', async () => {
        await device.ask('close')
        await device.ask('open')
        // whether the guest looks in between is a matter of luck: it counts that it can miss it
        for (let attempt = 0; attempt < 20; attempt++) {
          const old = await device.connect()
          const reading = device.ask('read 3')
          old.leave()
          const fresh = await device.queueClient()
          fresh.write('new')
          const outcome = await reading
          if (outcome === '3 new') return
          await device.leave(fresh)
          await device.ask('open')
        }
        assert.fail('each blocked read told of it')
      })

      it('keeps what the guest had got of a host that left, and loses the rest', async () => {
        const client = await device.connect()
        client.write('a'.repeat(2 * MiB))
        if (isPort) await steady(() => client.held, QUIET_MS)
        else await arrival(64)
        await device.leave(client)
        const [count, end, ...more] = (await drained()).split(' ')
        assert.ok(Number(count) >= 64 && Number(count) < 2 * MiB, `the guest read ${String(count)} bytes`)
        assert.deepEqual([end, more], [isPort ? '0' : 'EAGAIN', []])
      })

      it('throws away what the guest has written, successfully, when the host leaves', async () => {
        const client = await device.connect()
        client.stopReading()
        const [count, end] = (await device.ask(`fill ${16 * MiB}`)).split(' ')
        assert.equal(end, 'EAGAIN')
        assert.ok(Number(count) > 1024, `the line took ${String(count)} bytes`)
        await device.leave(client)
        if (!isPort) await sent()
        const fresh = await device.connect()
        // whether the throwing away is over when the next one has come is a matter of luck: it may
        // take what is written then, too
        for (let attempt = 0; attempt < 50 && fresh.received === ''; attempt++) {
          await device.ask('write after')
          await steady(() => fresh.received.length, QUIET_MS)
        }
        assert.match(fresh.received, /^(after)+$/)
      })

      it('loses nothing of what the guest writes while the host does not read', async () => {
        const client = await device.connect()
        client.stopReading()
        const [count] = (await device.ask(`fill ${16 * MiB}`)).split(' ')
        client.readOn()
        const received = await client.receivedUntil((text) => text.length >= Number(count))
        assert.equal(received, 'f'.repeat(Number(count)))
      })

      it(`${isPort ? 'does not take' : 'takes, and loses,'} what the guest writes while no host is there`, async () => {
        assert.equal(await device.ask('write gone'), isPort ? 'EAGAIN' : '4')
        if (!isPort) await sent()
        const client = await device.connect()
        await device.ask('write here')
        assert.equal(await client.receivedUntil((text) => text.endsWith('here')), 'here')
      })

      it('lets a second client of the host wait for its turn, and keeps what it sends', async () => {
        const first = await device.connect()
        const second = await device.queueClient()
        second.write('second')
        first.write('first')
        assert.equal(await device.read(5), 'first')
        await device.ask('write to-first')
        assert.equal(await first.receivedUntil((text) => text.length >= 8), 'to-first')
        first.leave()
        assert.equal(await device.read(6), 'second')
        await device.ask('write to-second')
        assert.equal(await second.receivedUntil((text) => text.length >= 9), 'to-second')
      })

      it('ends both ways when the host ends one', async () => {
        const client = await device.connect()
        client.endWriting()
        await client.untilEnded()
        await device.untilConnected(false)
        assert.equal(await device.ask('poll'), isPort ? 'IN HUP' : 'OUT ')
      })

      it(`keeps ${kept} of what a host sends before the guest opens, if it stays`, async () => {
        await device.ask('close')
        const client = await device.connect()
        await sentWhileClosed(client)
      })

      it('loses what a host sends before the guest opens, if it leaves', async () => {
        await device.ask('close')
        const client = await device.connect()
        client.write('gone')
        await client.flushed()
        await device.leave(client)
        await device.ask('open nb')
        const fresh = await device.connect()
        fresh.write('here')
        assert.equal(await device.read(4), 'here')
      })

      it('throws away what the guest has not read when the guest closes, and the host sees nothing', async () => {
        const client = await device.connect()
        client.write('before;')
        await arrival(7)
        await device.ask('close')
        await device.ask('open nb')
        client.write('after')
        assert.equal(await device.read(5), 'after')
        assert.ok(!client.hasEnded)
      })

      it(`keeps ${kept} of what the host sends while the guest has closed`, async () => {
        const client = await device.connect()
        await device.ask('close')
        await sentWhileClosed(client)
      })

      /** Sends to a device that is closed, and opens it. */
      async function sentWhileClosed(client: HostClient): Promise<void> {
        const text = 'sent while the guest had closed.'
        client.write(text)
        await client.flushed()
        await device.ask('open nb')
        let read = ''
        while (!read.endsWith('.')) read += await device.read(1)
        const lost = text.length - read.length
        assert.ok(text.endsWith(read), read)
        assert.ok(isPort ? lost === 0 : lost >= 1 && lost <= UART_FIFO_BYTES, `${lost} bytes are lost`)
      }

      /** Resolves when so many bytes lie unread in the guest. */
      async function arrival(count: number): Promise<void> {
        // one write of the host is one buffer of the port
        if (isPort) await device.askUntil('poll', (outcome) => outcome.includes('IN'))
        else await device.askUntil('waiting', (outcome) => Number(outcome) >= count)
      }

      /** Everything that the guest can read, the line being at rest. */
      async function drained(): Promise<string> {
        if (!isPort) await steadyCounter('rx')
        return await device.ask('drain')
      }
    })
  }

  it('a virtio-serial port holds the host back while the guest does not read, and loses nothing', async () => {
    await port.reset()
    const client = await port.connect()
    client.write('b'.repeat(2 * MiB))
    assert.ok((await steady(() => client.held, QUIET_MS)) > 0, 'the host was not held back')
    let count = 0
    while (count < 2 * MiB) {
      const [more, , mixed] = (await port.ask('drain')).split(' ')
      assert.equal(mixed, undefined)
      count += Number(more)
    }
    assert.equal(count, 2 * MiB)
    assert.equal(client.held, 0)
  })

  it('an emulated UART loses bytes, and tells nobody, while the guest does not read', async () => {
    await uart.reset()
    const client = await uart.connect()
    client.write('c'.repeat(1.5 * MiB))
    await steadyCounter('rx')
    let count = 0
    for (let more = -1; more !== 0; count += more) more = Number((await uart.ask('drain')).split(' ')[0])
    assert.ok(count > 0 && count < 1.5 * MiB, `the guest read ${count} bytes`)
    assert.ok(!client.hasEnded)
  })

  it('a virtio-serial port opens once, an emulated UART as often as asked', async () => {
    await Promise.all([port.reset(), uart.reset()])
    assert.equal(await port.ask('open'), 'EBUSY')
    assert.equal(await uart.ask('open'), 'ok')
  })

  it('a read without a host ends at once on a virtio-serial port and blocks on an emulated UART', async () => {
    await Promise.all([port.reset(), uart.reset()])
    assert.equal(await port.ask('read 1'), '0')
    await uart.ask('open')
    assert.equal(await uart.ask('read 1'), 'blocked')
  })

  /** How many bytes the UART has received (rx) or sent (tx), by the kernel's count. */
  async function counter(name: string): Promise<number> {
    const [, count] =
      new RegExp(`^1: .* ${name}:(\\d+)`, 'm').exec(await run(guest.control, 'cat /proc/tty/driver/serial')) ?? []
    return Number(count)
  }

  /** Resolves when the UART is at rest. */
  async function steadyCounter(name: string): Promise<void> {
    let last = -1
    let now = await counter(name)
    while (now !== last) {
      last = now
      await steady(() => 0, QUIET_MS)
      now = await counter(name)
    }
  }

  /** Resolves when the UART has sent everything that the guest has written. */
  async function sent(): Promise<void> {
    await steadyCounter('tx')
  }
})
