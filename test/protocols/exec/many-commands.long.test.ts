/**
 * Floods of starts, servers that are killed two hundred times, and terminals that end five hundred
 * times: processes and descriptors are counted from outside.
 */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { keeperLauncher } from '../../../protocols/exec/keeper/launch-keeper.ts'
import { execClient } from '../../../protocols/exec.ts'
import { connect, type TrunkError } from '../../../src/index.ts'
import { eventually } from '../../helpers/eventually.ts'
import { childrenOf, marked } from '../../helpers/keeper.ts'
import { commandServer, killedAtSomeMoment } from '../../helpers/kept-trees.ts'
import { temporaryFolder } from '../../helpers/temporary-folder.ts'

const STARTS = 10_000
const MAX_COMMANDS = 64
const TERMINAL_RUNS = 500

describe('many commands', { skip: keeperLauncher() === undefined && 'there is no keeper', timeout: 1_800_000 }, () => {
  it('leaves nothing where the server is killed, two hundred times [X16]', async () => {
    for (let round = 0; round < 200; round++) await killedAtSomeMoment()
  })

  it('[R-817] loses nothing of what a terminal shows last, in five hundred runs [X09]', async () => {
    const folder = temporaryFolder()
    for (let each = 0; each < 40; each++) {
      mkdirSync(join(folder, `${each}`))
      for (let file = 0; file < 50; file++) writeFileSync(join(folder, `${each}`, `file-${file}`), '')
    }
    const { server, trunk } = await commandServer()
    const vm = execClient(trunk)
    const listing = ['-lR', folder] as const
    const env = { LC_ALL: 'C' }
    const { stdout: whole } = await vm.run('ls', listing, { env })
    assert.ok(whole.length > 50_000, 'more than a terminal of the kernel’s holds')
    let begun = 0
    const runs = async (): Promise<void> => {
      while (begun++ < TERMINAL_RUNS) {
        const command = await vm.start('ls', listing, { env, tty: { modes: { onlcr: false } } })
        let shown = ''
        for await (const data of command.stdout ?? []) shown += Buffer.from(data.subarray()).toString('latin1')
        assert.equal(shown.length, whole.length)
        assert.equal(shown, whole)
        assert.equal((await command.exit).code, 0)
        done++
      }
    }
    let done = 0
    await Promise.all(Array.from({ length: 8 }, runs))
    assert.equal(done, TERMINAL_RUNS)
    await trunk.close()
    await server.stop()
  })

  it('has never more than maxCommands of starts that are reset at once, and keeps nothing of them [X27]', async () => {
    const { server, trunk: first, pid } = await commandServer()
    let trunk = first
    assert.equal((await execClient(trunk).run('true')).code, 0)
    const descriptors = () => readdirSync(`/proc/${pid}/fd`).length
    const before = descriptors()
    const mark = `many-${process.pid}`
    const params = { op: 'start', argv: ['sleep', '1000'], env: { MARK: mark }, stdin: 'none', stderr: 'none' }
    const codes = new Map<string, number>()
    let most = 0
    let keepers = 0
    let sessions = 1
    for (let begun = 0; begun < STARTS;) {
      const batch = Array.from({ length: 200 }, async () => {
        const aborted = new AbortController()
        const opening = trunk.open(
          'exec',
          { ...params, stdout: 'pipe', id: randomBytes(16) },
          { signal: aborted.signal },
        )
        aborted.abort(new Error('at once'))
        const code = await opening.then(
          (pipe) => {
            pipe.abort(new Error('at once'))
            return 'accepted'
          },
          (error: unknown) => (error as TrunkError).code,
        )
        codes.set(code, (codes.get(code) ?? 0) + 1)
      })
      begun += batch.length
      await Promise.all(batch)
      most = Math.max(most, marked(mark).filter((one) => one !== pid).length)
      keepers = Math.max(keepers, childrenOf(pid).length)
      // one that is paced too hard is begun again: that is the peer's good right
      if (trunk.status().state !== 'open') {
        trunk = await connect(server.address)
        sessions++
      }
    }
    assert.ok(most <= MAX_COMMANDS * sessions, `${most} processes`)
    assert.ok(keepers <= MAX_COMMANDS * sessions, `${keepers} keepers`)
    await eventually(() => marked(mark).length === 0, 'no process is left', 20_000)
    await eventually(() => childrenOf(pid).length === 0, 'no keeper is left, and no zombie', 20_000)
    const later = await connect(server.address)
    assert.equal((await execClient(later).run('true')).code, 0)
    await later.close()
    await eventually(() => descriptors() <= before + 2 * (sessions - 1), 'no descriptor is left', 20_000)
    assert.equal(
      [...codes.values()].reduce((sum, each) => sum + each, 0),
      STARTS,
    )
    await trunk.close().catch(() => undefined)
    await server.stop()
  })
})
