/**
 * Random bytes after a machine was set back: what OpenSSL keeps in the process is played as one
 * that says the same again.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { freshBytes, freshMark, freshName } from '../../src/runtime/fresh-bytes.ts'
import { runCommand } from '../helpers/run-command.ts'
import { ROOT } from '../helpers/root.ts'
import { sourceFiles } from '../helpers/source-imports.ts'
import { typeScript } from '../helpers/typescript.ts'

const AGAIN = `
import crypto from 'node:crypto'
import { syncBuiltinESMExports } from 'node:module'
crypto.randomBytes = (count) => Buffer.alloc(count, 7)
crypto.randomUUID = () => '00000000-0000-4000-8000-000000000000'
syncBuiltinESMExports()
const { freshBytes, freshMark, freshName } = await import('./src/runtime/fresh-bytes.ts')
const { bigint } = process.hrtime
process.hrtime.bigint = () => 0n
Date.now = () => 0
const bytes = Array.from({ length: 100 }, () => Buffer.from(freshBytes(8)).toString('hex'))
const marks = Array.from({ length: 100 }, () => Buffer.from(freshMark(8)).toString('hex'))
process.hrtime.bigint = bigint
const names = Array.from({ length: 100 }, freshName)
console.log(new Set(bytes).size, new Set(marks).size, new Set(names).size)
`

/**
 * Restored twice where the kernel is not told: its bytes come again, and only the clock has moved.
 */
const KERNEL_AGAIN = `
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
// first: the loader reads files, too
const { freshMark } = await import('./src/runtime/fresh-bytes.ts')
fs.readSync = (fd, bytes) => bytes.fill(9).byteLength
syncBuiltinESMExports()
const mark = () => Buffer.from(freshMark(8)).toString('hex')
let now = 10n ** 15n
process.hrtime.bigint = () => now
Date.now = () => Number(now / 10n ** 6n)
const moved = Array.from({ length: 100 }, () => ((now += 10n ** 6n), mark()))
const stood = Array.from({ length: 100 }, mark)
console.log(new Set(moved).size, new Set(stood).size)
`

describe('fresh bytes', () => {
  it('are others where the pool of this process says the same again [R-466]', async () => {
    const args = typeScript('--input-type=module', '-e', AGAIN)
    const { status, output } = await runCommand({ cwd: ROOT, timeoutMs: 60_000 }, process.execPath, args)
    assert.equal(output.trim(), '100 100 100')
    assert.equal(status, 0)
  })

  it('are others where the kernel says the same again and only the clock has moved [R-544]', async () => {
    const args = typeScript('--input-type=module', '-e', KERNEL_AGAIN)
    const { status, output } = await runCommand({ cwd: ROOT, timeoutMs: 60_000 }, process.execPath, args)
    assert.equal(output.trim(), '100 1')
    assert.equal(status, 0)
  })

  it('are as many as asked for, 32 at most', () => {
    for (const count of [0, 8, 32]) assert.equal(freshBytes(count).byteLength, count)
    for (const count of [0, 8, 32]) assert.equal(freshMark(count).byteLength, count)
    assert.throws(() => freshMark(33), RangeError)
    assert.throws(() => freshBytes(33), RangeError)
    assert.match(freshName(), /^[0-9a-z-]{40,}$/)
  })

  it('are what everything that is random in a session or a name is made of', () => {
    // the demonstration and the benchmark make what nobody keeps
    const own = ['src/runtime/fresh-bytes.ts', 'src/cli/demo/demo.ts', 'protocols/bench/traffic.ts']
    const others = ['src', 'transports', 'protocols']
      .flatMap(sourceFiles)
      .filter(
        (path) =>
          !own.includes(path) && /\brandom(?:Bytes|UUID|FillSync)\b/.test(readFileSync(join(ROOT, path), 'utf8')),
      )
    assert.deepEqual(others, [])
  })
})
