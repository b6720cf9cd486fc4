/** Pseudo-terminals of the addon, with programs behind them that a keeper has started. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync } from 'node:fs'
import { describe, it } from 'node:test'
import { encodeSignal } from '../../protocols/exec/keeper/wire.ts'
import { eventually } from '../helpers/eventually.ts'
import { native, onTerminal, readAll, readNow, skip } from './terminal-run.ts'

describe('a terminal', { skip }, () => {
  it('has its size before the program runs, is its controlling one, and tells of a new size [X29]', async () => {
    const run = onTerminal(
      `stty size; tty >/dev/tty; trap 'stty size; exit' WINCH; echo set; while :; do sleep 0.02; done`,
    )
    let text = ''
    const reads = async (part: string) =>
      await eventually(() => (text += readNow(run.master).text).includes(part), part, 20_000)
    await reads('set\r\n')
    assert.match(text, /^43 132\r\n\/dev\/pts\/\d+\r\nset\r\n$/)
    for (let columns = 1; columns <= 500; columns++) native.resize(run.master, columns, 7, 0, 0)
    await reads('7 500\r\n')
    await run.gone
    closeSync(run.master)
  })

  it('keeps what a program wrote that has ended before anybody reads', async () => {
    for (let round = 0; round < 20; round++) {
      const run = onTerminal('seq 600')
      await run.gone
      assert.equal(await readAll(run.master), Array.from({ length: 600 }, (_, index) => `${index + 1}\r\n`).join(''))
      closeSync(run.master)
    }
  })

  it('interrupts whoever is in its foreground, by its key and by a signal [R-589]', async () => {
    const run = onTerminal(
      `set -m; trap 'echo shell' INT; sh -c 'trap "echo INT; exit" INT; echo up; while :; do sleep 0.02; done'; echo next; sh -c 'trap "echo USR1; exit" USR1; echo again; while :; do sleep 0.02; done'`,
    )
    let text = ''
    const reads = async (part: string) =>
      await eventually(() => (text += readNow(run.master).text).includes(part), part, 20_000)
    await reads('up\r\n')
    const started = () => run.told.find((record) => record.kind === 'started')
    // the terminal may be faster than the keeper's record
    await eventually(() => started() !== undefined, 'the start is told')
    const group = native.foreground(run.master)
    assert.ok(group > 0 && group !== started()?.pid)
    native.write(run.master, [Buffer.from([3])])
    await reads('INT\r\n')
    await reads('again\r\n')
    run.control.write(encodeSignal(10, 'foreground', native.foreground(run.master)))
    await reads('USR1\r\n')
    await run.gone
    assert.doesNotMatch(text, /shell/)
    closeSync(run.master)
  })

  it('has the modes that are set, and says by which character its input ends [R-590]', async () => {
    const { master, slave } = native.openTerminal(80, 24, 0, 0)
    for (const [name, value] of Object.entries({ echo: 0, onlcr: 0, erase: 8, intr: 24, eof: 1 }))
      native.setMode(master, name as 'echo', value)
    const stty = spawn('stty', ['-a'], { stdio: [slave, 'pipe', 'inherit'] })
    const chunks: Buffer[] = []
    stty.stdout?.on('data', (chunk: Buffer) => chunks.push(chunk))
    await once(stty, 'close')
    const said = Buffer.concat(chunks).toString()
    for (const part of [
      'rows 24; columns 80',
      'intr = ^X',
      'erase = ^H',
      'eof = ^A',
      '-echo ',
      '-onlcr',
      ' iutf8',
      ' icanon',
    ])
      assert.ok(said.includes(part), `${part} in ${said}`)
    assert.equal(native.endOfFile(master), 1)
    native.setMode(slave, 'icanon', 0)
    assert.equal(native.endOfFile(master), undefined)
    closeSync(slave)
    closeSync(master)
  })

  it('hangs its programs up when the master is closed', async () => {
    const run = onTerminal(`echo up; sleep 1000`)
    await eventually(() => readNow(run.master).text.includes('up'), 'the program', 20_000)
    closeSync(run.master)
    await run.gone
    const ended = run.told.find((record) => record.kind === 'ended')
    assert.ok(ended?.kind === 'ended' && ended.signal === 1)
  })
})
