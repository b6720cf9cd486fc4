/** Commands that the peer keeps, and commands on our terminal, from the command line. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { serving, start, trunkline } from '../helpers/command-line.ts'
import { eventually } from '../helpers/eventually.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'
import { LAUNCHERS } from '../protocols/exec/launchers.ts'

const [, keeper] = LAUNCHERS
const served = () => serving(['--exec', 'any'], `unix://${join(temporaryFolder(), 's')}`)

describe('kept commands', () => {
  it('[R-639] are started, listed, read, waited for and forgotten', async () => {
    const server = await served()
    const to = server.address
    const script = 'echo out; echo err >&2; read x; exit 4'
    const started = await trunkline(['exec', '-d', '--name', 'job', 'sh', '-c', script, 'a\u001Bb'], { to })
    assert.deepEqual([started.status, started.stdout, started.stderr], [0, 'job\n', ''])
    const waited = await trunkline(['wait', 'job'], { to })
    assert.deepEqual([waited.status, waited.stderr], [4, ''])
    const logs = await trunkline(['logs', 'job'], { to })
    assert.deepEqual([logs.status, logs.stdout, logs.stderr], [0, 'out\n', 'err\n'])
    assert.equal((await trunkline(['logs', 'job', '--tail', '2'], { to })).stdout, 't\n')
    const listed = await trunkline(['ps'], { to })
    assert.match(listed.stdout, /^job +\d+ +exit 4 .*a\\x1bb$/m)
    const [row] = (await trunkline(['ps', '--json'], { to })).stdout.trim().split('\n')
    assert.deepEqual((JSON.parse(row ?? '') as { exit: object }).exit, { code: 4, signal: null })
    assert.equal((await trunkline(['attach', 'job', '--from', '1'], { to })).stdout, 'ut\n')
    const forgotten = await trunkline(['forget', 'job', 'none'], { to })
    assert.equal(forgotten.status, 1)
    assert.match(forgotten.stderr, /ERR_COMMAND_UNKNOWN: none/)
    assert.equal((await trunkline(['attach', 'job'], { to })).status, 125)
    assert.equal((await trunkline(['logs', 'job'], { to })).status, 1)
    await server.stop()
  })

  for (const [kind, ...tty] of [['streams'], ['a terminal', '-t']] as const)
    it(
      `[R-805] are left by Ctrl-C and SIGTERM of whoever only looks on: ${kind}`,
      { skip: tty.length > 0 && (keeper?.skip ?? false) },
      async () => {
        const server = await served()
        const to = server.address
        const script = 'printf up; exec sleep 1000'
        assert.equal((await trunkline(['exec', '-d', ...tty, '--name', 'job', 'sh', '-c', script], { to })).status, 0)
        for (const [signal, status] of [
          ['SIGINT', 130],
          ['SIGTERM', 143],
        ] as const) {
          const watching = start(['attach', '--watch', '--from', '0', 'job'], { to })
          await eventually(() => watching.stdout() === 'up', 'it shows what there is', 20_000)
          watching.child.kill(signal)
          const ended = await watching.ended
          assert.deepEqual([ended.status, ended.stderr], [status, ''])
        }
        assert.match((await trunkline(['ps'], { to })).stdout, /^job +\d+ +running/m)
        await server.stop()
      },
    )

  it('[R-640] are signalled by name, and end with the server', async () => {
    const server = await served()
    const to = server.address
    const name = (await trunkline(['exec', '--keep', '-d', 'sleep', '100'], { to })).stdout.trim()
    assert.match(name, /^[0-9a-f]{8}$/)
    assert.equal((await trunkline(['kill', '-s', 'USR1', name], { to })).status, 0)
    assert.equal((await trunkline(['wait', name], { to })).status, 138)
    await trunkline(['exec', '-d', '--keep=1h', '--name', 'rest', 'sleep', '100'], { to })
    assert.equal((await server.stop()).status, 0)
  })
})
