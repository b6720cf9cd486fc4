/** `--wait`: a peer that is not there yet. */
import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { run } from '../../src/cli/run.ts'
import { capturedContext } from '../helpers/captured-context.ts'
import { serving, start } from '../helpers/command-line.ts'
import { eventually } from '../helpers/eventually.ts'
import { freePort, loopbackServer } from '../helpers/loopback.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

const nobody = async (): Promise<string> => `tcp://127.0.0.1:${await freePort()}`
const WAITS = /^trunkline: ERR_CONNECT_REFUSED: [^\n]+; waiting for the peer\n$/

describe('--wait', () => {
  it('without a number waits until the peer is there, says so once, and takes no argument away', async () => {
    const folder = temporaryFolder()
    await mkdir(join(folder, 'inside'))
    await writeFile(join(folder, 'inside', 'a-file'), '')
    const to = await nobody()
    const ls = start(['ls', '--wait', ':/inside'], { to })
    await eventually(() => ls.stderr() !== '', 'it says that it waits', 8_000)
    const server = await serving(['--fs', folder], to)
    const { status, stdout, stderr } = await ls.ended
    assert.deepEqual([status, stdout], [0, 'a-file\n'])
    assert.match(stderr, WAITS)
    await server.stop()
  })

  it('with a number bounds a peer that is there and says nothing, too', async (t) => {
    const silent = await loopbackServer()
    t.after(() => {
      silent.close()
    })
    const { context, stderr } = capturedContext()
    const to = `tcp://127.0.0.1:${silent.port}`
    assert.equal(await run(['ping', '--to', to, '--wait=0.2'], context), 3)
    assert.equal(stderr(), `trunkline: ERR_CONNECT_TIMEOUT: no session with ${to}; waited 0.2 s\n`)
  })

  it('ends with 1 when the user interrupts', async () => {
    const ping = start(['ping', '--wait'], { to: await nobody() })
    await eventually(() => ping.stderr() !== '', 'it says that it waits', 8_000)
    ping.child.kill('SIGINT')
    const { status, stderr } = await ping.ended
    assert.match(stderr, /\ntrunkline: ERR_ABORTED: interrupted by SIGINT\n$/)
    assert.equal(status, 1)
  })

  for (const args of [['--wait=soon'], ['--wait='], ['--wait', '0'], ['--wait', '86401'], ['--wait=-1']]) {
    it(`is wrong usage: ping ${args.join(' ')}`, async () => {
      const { context, stderr } = capturedContext()
      assert.equal(await run(['ping', '--to', 'tcp://127.0.0.1:1', ...args], context), 2)
      assert.match(stderr(), /^trunkline: ERR_BAD_ARGUMENT: [^\n]+\n$/)
    })
  }
})
