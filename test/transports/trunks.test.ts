/** A whole session over each transport: what users do with an address. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { connect, defineProtocol, serve, type Trunk, type TrunkError } from '../../src/index.ts'
import { seededBytes } from '../helpers/link-traffic.ts'
import { keptAlive } from '../helpers/eventually.ts'
import { countHandles, nothingLeft } from '../helpers/process-handles.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'
import { typeScript } from '../helpers/typescript.ts'

const folder = temporaryFolder()
const fixture = fileURLToPath(new URL('../fixtures/echo-over-stdio.ts', import.meta.url))
const echo = defineProtocol({
  name: 'echo',
  parse: () => undefined,
  async handle(request) {
    const pipe = request.accept()
    await pipe.sink(pipe.source)
  },
})

/** Sends 2 MiB through an echo and back. */
async function echoes(trunk: Trunk): Promise<void> {
  const pipe = await trunk.open('echo')
  const bytes = seededBytes(21, 2 * 1024 * 1024)
  const received: Uint8Array[] = []
  const reading = (async () => {
    for await (const chunk of pipe.source) received.push(chunk.subarray())
  })()
  await pipe.sink([bytes])
  await reading
  await pipe.close()
  assert.ok(Buffer.concat(received).equals(bytes), 'what came back differs')
}

describe('a trunk', () => {
  for (const address of ['tcp://127.0.0.1:0', `unix://${join(folder, 'trunk.sock')}`, 'memory:trunk']) {
    it(`runs over ${address.slice(0, address.indexOf(':'))}, and leaves nothing`, { timeout: 20_000 }, () =>
      keptAlive(async () => {
        const before = countHandles()
        const server = await serve(address, { protocols: [echo] })
        const trunk = await connect(server.address)
        await Promise.all([echoes(trunk), echoes(trunk)])
        await trunk.close()
        await server.close()
        await nothingLeft(before)
      }),
    )
  }

  it('runs over a command’s stdio, and the command ends with it', { timeout: 20_000 }, async () => {
    const before = countHandles()
    const trunk = await connect(`exec:'${[process.execPath, ...typeScript(fixture)].join("' '")}'`)
    await Promise.all([echoes(trunk), echoes(trunk)])
    await trunk.close()
    await nothingLeft(before)
  })

  it('that its command leaves alone fails with what became of the command', { timeout: 20_000 }, async () => {
    const before = countHandles()
    await assert.rejects(connect('exec:sh -c "exit 3"'), (error: TrunkError) => {
      assert.equal(error.code, 'ERR_LINK_LOST')
      assert.match(error.message, /exited with status 3/)
      return true
    })
    await nothingLeft(before)
  })
})
