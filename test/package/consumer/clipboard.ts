/**
 * A user's program: both ends share their clipboards over one trunk. Run by packed.test.ts against
 * the installed package.
 */
import assert from 'node:assert/strict'
import { connect, serve, type Trunk } from 'trunkline'
import { Clipboard, clipboard, getClipboard, setClipboard, watchClipboard } from '../../../docs/examples/clipboard.ts'

/** Watches the peer's clipboard while it changes twice, then leaves. */
async function watchTwoChanges(trunk: Trunk, theirs: Clipboard): Promise<string[]> {
  const seen: string[] = []
  for await (const text of watchClipboard(trunk)) {
    seen.push(text)
    if (seen.length === 3) break
    theirs.set(`change ${seen.length}`)
  }
  return seen
}

const onHost = new Clipboard()
const onGuest = new Clipboard()
const server = await serve('tcp://127.0.0.1:0', { protocols: [clipboard(onHost)] })
const guest = await connect(server.address, { protocols: [clipboard(onGuest)] })
const [host] = server.trunks
assert.ok(host !== undefined, 'the server holds no trunk')

await setClipboard(guest, 'from the guest: ✂')
assert.equal(onHost.text, 'from the guest: ✂')
assert.equal(await getClipboard(guest), 'from the guest: ✂')

await setClipboard(host, 'from the host')
assert.equal(onGuest.text, 'from the host')
assert.equal(await getClipboard(host), 'from the host')

assert.deepEqual(await watchTwoChanges(guest, onHost), ['from the guest: ✂', 'change 1', 'change 2'])
assert.deepEqual(await watchTwoChanges(host, onGuest), ['from the host', 'change 1', 'change 2'])

// another plugin's code crosses by name
await assert.rejects(setClipboard(guest, 'x'.repeat(1_000_001)), { code: 'CLIPBOARD_TOO_LONG', origin: 'remote' })
assert.equal(onHost.text, 'change 2')
await assert.rejects(guest.open('clipboard', 'eat'), { code: 'ERR_PARAMS_INVALID', origin: 'remote' })
await guest.ping()

await guest.close()
await server.close()
assert.deepEqual(onHost.eventNames(), [], 'a watcher that left still listens')
console.log('clipboard: done')
