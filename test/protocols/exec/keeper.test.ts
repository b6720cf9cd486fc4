/**
 * What the launcher over keepers does beyond what every launcher does: terminals, bytes, and the
 * ends of keepers.
 */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { examined } from '../../../protocols/exec/keeper/find-keeper.ts'
import { keeperLauncher } from '../../../protocols/exec/keeper/launch-keeper.ts'
import type { Launcher } from '../../../protocols/exec/launch.ts'
import { processRow } from '../../../protocols/exec/process-table.ts'
import { childProgram } from '../../helpers/child-program.ts'
import { eventually } from '../../helpers/eventually.ts'
import { childrenOf } from '../../helpers/keeper.ts'
import { temporaryFolder } from '../../helpers/temporary-folder.ts'
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
    assert.deepEqual(await program.ended, { code: null, signal: 'KILL', core: false, leftovers: 0 })
    await program.empty()
    await eventually(() => processRow(program.pid) === undefined, 'the end of the leader')
    assert.equal(program.signal('TERM', 'tree'), false)
    assert.equal(program.count(), 0)
  })

  it('[R-601] is not had where the keeper does not run, or is of another release [X44]', async () => {
    const folder = temporaryFolder()
    const script = (name: string, text: string): string => {
      writeFileSync(`${folder}/${name}`, `#!/bin/sh\n${text}\n`, { mode: 0o755 })
      return `${folder}/${name}`
    }
    for (const [what, file] of [
      ['missing', `${folder}/missing`],
      ['fails', script('fails', 'exit 1')],
      ['old', script('old', 'echo 1')],
    ] as const) {
      const found = examined(file)
      assert.ok('problem' in found, what)
      assert.equal(keeperLauncher(found), undefined)
    }
    // one that is replaced while we run: kind 2 (it failed), at stage 1 (the plan), with EPROTO
    const told = String.raw`printf '\020\0\0\0\002\0\0\0\001\0\0\0\0\0\0\0\107\0\0\0\0\0\0\0' >&3; cat <&3 >/dev/null`
    const replaced = keeperLauncher({ file: script('replaced', told) }) as Launcher
    await assert.rejects(replaced.launch(shPlan('true'), NEVER), { code: 'ERR_UNSUPPORTED' })
    // one that dies before it says anything
    const dumb = keeperLauncher({ file: script('dumb', 'exit 0') }) as Launcher
    await assert.rejects(dumb.launch(shPlan('true'), NEVER), { code: 'ERR_PROCESS_LIMIT' })
  })

  it('[R-602] a terminal that nobody reads any more is closed at its end, and keeps no process alive', async () => {
    const discarding = (script: string): string => `
      const { keeperLauncher } = await import('./protocols/exec/keeper/launch-keeper.ts')
      const { shPlan } = await import('./test/protocols/exec/launchers.ts')
      const terminal = { columns: 80, rows: 24, x: 0, y: 0, modes: {} }
      const plan = shPlan(${JSON.stringify(script)}, { stdout: 'none', stderr: 'none', terminal })
      const program = await keeperLauncher().launch(plan, new AbortController().signal)
      console.log(Buffer.from(await program.terminal.output.read()).toString().trim())
      await program.ended
      program.terminal.output.discard()`
    const left = childProgram(
      `${discarding('(trap "" HUP; echo up; exec sleep 30) & read x < /dev/zero & sleep 0.2')}
      program.release()
      console.log(program.count())`,
    )
    assert.equal(await left.exited, 0, left.errors())
    assert.deepEqual(left.lines, ['up', '1'])
    const ended = childProgram(
      `${discarding('echo up')}
      await program.terminal.output.closed
      await program.freed
      console.log('closed')`,
    )
    assert.equal(await ended.exited, 0, ended.errors())
    assert.deepEqual(ended.lines, ['up', 'closed'])
  })
})
