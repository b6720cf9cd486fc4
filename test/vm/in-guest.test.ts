/**
 * Tests of the repository that need what only a guest has here, run in one: AF_VSOCK with a
 * loopback, and virtio ports.
 */
import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { after, before, describe, it } from 'node:test'
import { dial } from './bed/dial.ts'
import { Guest } from './bed/guest.ts'
import { prepareBed } from './bed/prepare.ts'
import { sourcesForGuest } from './bed/sources.ts'

const FILES = ['test/transports/vsock.test.ts', 'test/transports/vsock-adopt.test.ts', 'test/vm/virtio-port.ts']
/** Longest time for one file. */
const FILE_MS = 300_000
/** What a test says that found no vsock after all. */
const MISSING = 'no vsock loopback here'

describe('in a guest', () => {
  let guest: Guest
  /** The host's ends of both virtio ports. */
  const joined: Socket[] = []

  before(async () => {
    guest = await Guest.boot({ bed: await prepareBed(), app: await sourcesForGuest(), port: 'far' })
    const [near, far] = await Promise.all(['serial', 'far'].map((name) => dial(guest.socket(name), () => undefined)))
    assert.ok(near !== undefined && far !== undefined)
    near.pipe(far).pipe(near)
    joined.push(near, far)
  })

  after(async () => {
    for (const socket of joined) socket.destroy()
    // undefined where it did not boot
    await (guest as Guest | undefined)?.stop()
  })

  for (const file of FILES) {
    it(`${file} passes`, async (t) => {
      const command = `node --import tsx --import ./test/helpers/quick-assert.mjs --test-reporter=tap ${file}`
      const { status, output } = await guest.control.start(command).ended(FILE_MS)
      assert.equal(status, 0, output)
      assert.ok(!output.includes(MISSING), output)
      const [, passed] = /^# pass (\d+)$/m.exec(output) ?? []
      assert.ok(Number(passed) > 0, output)
      t.diagnostic(`${String(passed)} tests passed`)
    })
  }
})
