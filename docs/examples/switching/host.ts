/**
 * The host's end: measures a round trip, copies a file there and back, and forwards a port.
 * $TRUNKLINE_TO is the address.
 *
 * Run: `TRUNKLINE_TO=ADDRESS npx tsx host.mts [FILE] [PORT]`
 */
import { createReadStream, createWriteStream } from 'node:fs'
import { basename } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { connect } from 'trunkline'
import { forwardLocal } from 'trunkline/forward'
import { filesystemClient } from 'trunkline/protocols/filesystem'

const [file = import.meta.filename, port = '8080'] = process.argv.slice(2)
const trunk = await connect(process.env.TRUNKLINE_TO ?? 'tcp://127.0.0.1:7000')
console.log(`${trunk.status().transport.scheme}: round trip ${(await trunk.ping()).toFixed(2)} ms`)

// copy a file there and back
const files = filesystemClient(trunk)
await files.write(basename(file), createReadStream(file))
await pipeline(
  files.read(basename(file)),
  async function* (source) {
    for await (const bytes of source) yield* bytes
  },
  createWriteStream(`${file}.back`),
)

// forward the guest's port: each local connection gets a pipe of its own
const forward = await forwardLocal(trunk, { listen: { port: 0 }, to: { host: '127.0.0.1', port: Number(port) } })
console.log(await (await fetch(`http://127.0.0.1:${forward.address.port}/`)).text())
await trunk.close() // the forward ends with it
