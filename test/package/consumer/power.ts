/**
 * A user's program: guest and host ask each other for power off. Run by packed.test.ts against the
 * installed package.
 */
import assert from 'node:assert/strict'
import { connect, serve } from 'trunkline'
import { askForPower, power } from '../../../docs/examples/power.ts'

const begun: string[] = []
const onHost = power({
  allow: ['shutdown'],
  perform(action) {
    begun.push(`host: ${action}`)
  },
})
const onGuest = power({
  allow: ['shutdown', 'reboot'],
  async perform(action) {
    begun.push(`guest: ${action}`)
    // a machine that goes down takes its end of the line with it
    if (action === 'reboot') guest.abort(new Error('power off'))
  },
})

const server = await serve('tcp://127.0.0.1:0', { protocols: [onHost] })
const guest = await connect(server.address, { protocols: [onGuest] })
const [host] = server.trunks
assert.ok(host !== undefined, 'the server holds no trunk')

await askForPower(guest, 'shutdown')
await askForPower(host, 'shutdown')
assert.deepEqual(begun, ['host: shutdown', 'guest: shutdown'])

await assert.rejects(askForPower(guest, 'reboot'), { code: 'ERR_DENIED', origin: 'remote', scope: 'pipe' })
await guest.ping()
assert.equal(begun.length, 2)

await askForPower(host, 'reboot')
assert.deepEqual(begun.slice(2), ['guest: reboot'])
await assert.rejects(host.closed, { name: 'TrunkError' })

await server.close()
console.log('power: done')
