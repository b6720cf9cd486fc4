/** What the launcher over keepers does beyond what every launcher does: terminals, bytes, and the ends of keepers. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { keeperLauncher } from '../../../protocols/exec/keeper/launch-keeper.ts'
import type { Launcher } from '../../../protocols/exec/launch.ts'
import { processRow } from '../../../protocols/exec/process-table.ts'
import { eventually } from '../../helpers/eventually.ts'
import { childrenOf } from '../../helpers/keeper.ts'
import { allOf, shPlan } from './launchers.ts'

const NEVER = new AbortController().signal
const launcher = keeperLauncher() as Launcher
const skip = keeperLauncher() === undefined && 'there is no keeper, or no addon'
const SIZE = { columns: 99, rows: 33, x: 0, y: 0 }
const onTerminal = (script: string, modes: Record<string, number> = {}) =>
  shPlan(script, { stdout: 'none', stderr: 'none', terminal: { ...SIZE, modes } })

describe('a launcher of keepers', { skip }, () => {
  it('runs a program on a terminal, to the last byte that it writes [X09]', async () => {
    for (let round = 0; round < 50; round++) {
      const program = await launcher.launch(onTerminal('stty size; seq 300; printf end'), NEVER)
      if (round % 2 === 1) await program.ended
      const text = (await allOf(program.terminal?.output)).toString()
      assert.equal(text, `33 99\r\n${Array.from({ length: 300 }, (_, index) => `${index + 1}\r\n`).join('')}end`)
      assert.equal((await program.ended).code, 0)
      program.terminal?.output.close()
      await program.empty()
    }
  })

  it('carries what is typed, and ends it where the terminal is read by lines [X29]', async () => {
    const program = await launcher.launch(onTerminal('cat; stty size', { echo: 0 }), NEVER)
    assert.equal(await program.terminal?.input.write(Buffer.from('typed\n')), true)
    program.resize({ ...SIZE, columns: 50 })
    program.terminal?.input.end()
    assert.equal((await allOf(program.terminal?.output)).toString(), 'typed\r\n33 50\r\n')
    program.terminal?.output.close()
    assert.equal(await program.terminal?.input.write(Buffer.from('x')), false)
    await program.empty()
  })

  it('tells the end, and leaves no leader, when a keeper is killed [R-591]', async () => {
    const program = await launcher.launch(shPlan('sleep 1000 & wait', { stdout: 'none', stderr: 'none' }), NEVER)
    const [keeper = 0] = childrenOf(process.pid)
      .map((child) => Number(child.split(' ')[0]))
      .filter((child) => childrenOf(child).some((row) => row.startsWith(`${program.pid} `)))
    assert.equal(program.count(), 1)
    process.kill(keeper, 'SIGKILL')
    assert.deepEqual(await program.ended, { code: null, signal: 'KILL', core: false })
    await program.empty()
    await eventually(() => processRow(program.pid) === undefined, 'the end of the leader')
    assert.equal(program.signal('TERM', 'tree'), false)
    assert.equal(program.count(), 0)
  })
})
