/** `--wait`: what it does not do. */
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { serving, start, trunkline } from '../helpers/command-line.ts'
import { freePort } from '../helpers/loopback.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

const nobody = async (): Promise<string> => `tcp://127.0.0.1:${await freePort()}`
const WAITS = /^trunkline: ERR_CONNECT_REFUSED: [^\n]+; waiting for the peer\n$/

describe('--wait', () => {
  it('with a number ends with 3 when the peer has not come by then, with the last reason', async () => {
    const to = await nobody()
    const { status, stderr } = await trunkline(['ping', '--wait', '0.5', '-c', '1'], { to })
    const [first = '', second = '', ...more] = stderr.split('\n')
    assert.match(`${first}\n`, WAITS)
    assert.match(second, /^trunkline: ERR_CONNECT_REFUSED: .+; waited 0\.5 s$/)
    assert.deepEqual([status, more], [3, ['']])
  })

  it('does not wait for what waiting cannot mend', async () => {
    const folder = temporaryFolder()
    const tokens = ['one secret of sixteen bytes', 'another secret of sixteen bytes']
    const [right = '', wrong = ''] = tokens.map((_, i) => join(folder, String(i)))
    await Promise.all([writeFile(right, tokens[0]!), writeFile(wrong, tokens[1]!)])
    const server = await serving(['--token-file', right])
    const { status, stderr } = await trunkline(['ping', '--wait', '--token-file', wrong], { to: server.address })
    assert.match(stderr, /^trunkline: ERR_AUTH_FAILED: [^\n]+\n$/)
    assert.equal(status, 4)
    await server.stop()
  })

  it('gives a command one session: when that is lost the command ends with 3', async () => {
    const server = await serving([])
    const ping = start(['ping', '--wait', '-c', '100', '-i', '0.05'], { to: server.address })
    await ping.lines(1)
    server.running.child.kill('SIGKILL')
    const { status, stderr } = await ping.ended
    assert.match(stderr, /^trunkline: ERR_LINK_(LOST|RESET): [^\n]+\n$/)
    assert.equal(status, 3)
  })
})
