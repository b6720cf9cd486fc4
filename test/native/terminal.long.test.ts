/** The last output of programs on a terminal, five hundred times. */
import assert from 'node:assert/strict'
import { closeSync, readdirSync } from 'node:fs'
import { describe, it } from 'node:test'
import { eventually } from '../helpers/eventually.ts'
import { onTerminal, readAll, skip } from './terminal-run.ts'

describe('a terminal', { skip }, () => {
  it('loses no byte of the last output, read meanwhile or afterwards, in 500 runs [X09]', async () => {
    const COUNT = 500
    const lines = Array.from({ length: 400 }, (_, index) => `line ${index + 1}\r\n`).join('')
    const descriptors = readdirSync('/proc/self/fd').length
    let done = 0
    const runner = async () => {
      while (done < COUNT) {
        const late = done++ % 2 === 1
        const run = onTerminal(`seq -f 'line %g' 400 & wait; printf last`)
        // all of it fits what the kernel keeps, so the program ends whether or not anybody reads
        if (late) await eventually(() => run.told.some(({ kind }) => kind === 'ended'), 'the end', 20_000)
        const text = await readAll(run.master)
        assert.equal(text, `${lines}last`)
        await run.gone
        closeSync(run.master)
      }
    }
    await Promise.all([runner(), runner(), runner(), runner()])
    assert.ok(readdirSync('/proc/self/fd').length <= descriptors + 2, 'descriptors')
  })
})
