/**
 * A guest whose program has not spoken yet is saved, and restored twice: both have the same memory,
 * the same random numbers of the kernel and the same clock. What each says first has to differ all
 * the same, or the two could be taken for one.
 */
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { installedApp } from './bed/app.ts'
import { dial } from './bed/dial.ts'
import { Guest, GUEST_SERIAL, GUEST_UART } from './bed/guest.ts'
import { prepareBed } from './bed/prepare.ts'
import { Snapshots } from './bed/snapshots.ts'

const TRUNKLINE = 'node node_modules/trunkline/dist/bin/trunkline.cjs'
/** Restored so often: two that differ may be luck. */
const TIMES = 4
const TOKEN_FILE = 'etc/token'

/** What is random in a hello, as CBOR has it: a member's name, and the head of its bytes. */
const EPOCH = { head: Buffer.from('\x65epoch\x48', 'latin1'), bytes: 8 }
const CHALLENGE = { head: Buffer.from('\x69challenge\x58\x20', 'latin1'), bytes: 32 }

describe('a guest that is restored again and again from one snapshot', { timeout: 1_200_000 }, () => {
  let guest: Guest
  let snapshots: Snapshots

  before(async () => {
    const files = [{ path: TOKEN_FILE, content: `${'0123456789abcdef'.repeat(2)}\n` }]
    guest = await Guest.boot({ bed: await prepareBed(), app: await installedApp(), files, memoryMiB: 768 })
    snapshots = await Snapshots.of(guest.qmp)
  })

  after(async () => {
    // undefined where it did not boot
    await (guest as Guest | undefined)?.stop()
  })

  for (const [name, socket, device] of [
    ['a virtio port', 'serial', GUEST_SERIAL],
    ['a UART', 'uart', GUEST_UART],
  ] as const) {
    it(`says another epoch and another challenge in its first hello over ${name}`, async () => {
      const job = guest.control.start(`${TRUNKLINE} serve serial://${device} --token-file /${TOKEN_FILE} --bench`)
      const served = await job.line()
      assert.equal(served, `serial://${device}`)
      await snapshots.save(name)
      const said = new Set<string>()
      for (let time = 0; time < TIMES; time++) {
        await snapshots.restore(name)
        const { epoch, challenge } = await firstHello(guest.socket(socket))
        said.add(epoch).add(challenge)
      }
      assert.equal(said.size, 2 * TIMES, [...said].join(' '))
      job.kill()
    })
  }
})

/** The first hello that a client of the device's socket gets. */
async function firstHello(path: string): Promise<{ epoch: string; challenge: string }> {
  const socket = await dial(path, () => undefined)
  let got = Buffer.alloc(0)
  try {
    for await (const chunk of socket) {
      got = Buffer.concat([got, chunk as Buffer])
      const epoch = member(got, EPOCH)
      const challenge = member(got, CHALLENGE)
      if (epoch !== undefined && challenge !== undefined) return { epoch, challenge }
    }
  } finally {
    socket.destroy()
  }
  throw new Error(`no hello in ${got.length} bytes`)
}

function member(bytes: Buffer, { head, bytes: length }: typeof EPOCH): string | undefined {
  const at = bytes.indexOf(head)
  const from = at + head.length
  return at < 0 || bytes.length < from + length ? undefined : bytes.subarray(from, from + length).toString('hex')
}
