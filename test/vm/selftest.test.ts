/**
 * The bed itself, without trunkline: one guest boots, and each of its lines carries bytes for real.
 */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, writeFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { temporaryFolder } from '../helpers/temporary-folder.ts'
import { tried } from './bed/accelerator.ts'
import { dial } from './bed/dial.ts'
import { Guest, GUEST_SERIAL, GUEST_UART } from './bed/guest.ts'
import { run } from './bed/job.ts'
import { prepareBed } from './bed/prepare.ts'

const SERIAL_BYTES = 1024 * 1024
const UART_BYTES = 16 * 1024
/** The address of AF_VSOCK's loopback. */
const CID_LOCAL = 1

describe('the accelerator', () => {
  it('is KVM only where a guest has booted by it: the device alone says nothing [R-468]', async () => {
    const device = join(temporaryFolder(), 'kvm')
    const boots = () => Promise.resolve()
    assert.equal(await tried(boots, device), 'tcg', 'there is no device')
    writeFileSync(device, '')
    assert.equal(await tried(boots, device), 'kvm')
    const hangs = () => Promise.reject(new Error('no guest after 30000 ms'))
    assert.equal(await tried(hangs, device), 'tcg')
    if (existsSync('/dev/kvm')) return
    // QEMU itself, with a device that is none
    const bed = await prepareBed()
    const real = async () => (await Guest.boot({ bed, accelerator: 'kvm', bootMs: 20_000 })).stop()
    assert.equal(await tried(real, device), 'tcg')
  })
})

describe('the test bed', () => {
  let guest: Guest

  before(async () => {
    guest = await Guest.boot({ bed: await prepareBed() })
  })

  after(async () => {
    // undefined where it did not boot
    await (guest as Guest | undefined)?.stop()
  })

  /**
   * Sends random bytes, every value among them, through a line, and checks that they come back from
   * the guest.
   */
  async function echoes(socket: string, device: string, count: number): Promise<void> {
    const host = await dial(guest.socket(socket), () => undefined)
    const echo = guest.control.start(`vmtool echo ${device} ${count}`)
    assert.equal(await echo.line(), 'ready')
    const sent = Buffer.concat([
      Buffer.from(Array.from({ length: 256 }, (_, value) => value)),
      randomBytes(count - 256),
    ])
    host.write(sent)
    const back = await take(host, count)
    assert.ok(back.equals(sent), `what came back through ${device} is not what was sent`)
    assert.equal((await echo.ended()).status, 0)
    host.destroy()
  }

  it('carries bytes through the virtio port and back', () => echoes('serial', GUEST_SERIAL, SERIAL_BYTES))

  it('carries bytes through the UART and back', () => echoes('uart', GUEST_UART, UART_BYTES))

  it('carries bytes over AF_VSOCK inside the guest', async () => {
    const echo = guest.control.start('vmtool vsock-echo 5000')
    assert.equal(await echo.line(), 'ready')
    const word = randomBytes(24).toString('hex')
    assert.equal(await run(guest.control, `vmtool vsock-say ${CID_LOCAL} 5000 ${word}`), `${CID_LOCAL} ${word}`)
    assert.equal((await echo.ended()).status, 0)
  })

  it('tells how a command ended, and what it said on both outputs', async () => {
    const { status, output } = await guest.control.start('echo first; echo second >&2; exit 3').ended()
    assert.equal(output, 'first\nsecond')
    assert.equal(status, 3)
  })

  it('kills a command with all that it started', async () => {
    const job = guest.control.start('sleep 1000 & echo $!; wait')
    const pid = await job.line()
    job.kill()
    assert.equal((await job.ended()).status, 128 + 9)
    assert.notEqual((await guest.control.start(`kill -0 ${pid}`).ended()).status, 0)
  })
})

/** The next bytes of a socket. */
async function take(socket: Socket, count: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let have = 0
  const all = new Promise<void>((resolve) => {
    socket.on('data', (chunk) => {
      chunks.push(chunk)
      have += chunk.byteLength
      if (have >= count) resolve()
    })
  })
  await Promise.race([all, once(socket, 'close')])
  return Buffer.concat(chunks)
}
