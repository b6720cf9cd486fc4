/** The keeper, where processes and servers go at the worst moment. */
import assert from 'node:assert/strict'
import { chmodSync, copyFileSync, mkdtempSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { encodeEnd, encodePlan } from '../../protocols/exec/keeper/wire.ts'
import { findKeeper } from '../../src/native/keeper-file.ts'
import { compiledFixture } from '../helpers/compiled.ts'
import { eventually } from '../helpers/eventually.ts'
import { childrenOf, keep, mark, marked, PLAN, shell } from '../helpers/keeper.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

const file = findKeeper() ?? ''
const skip = file === '' && 'the keeper was not built'
const isRoot = process.getuid?.() === 0
const base = temporaryFolder()

describe('the keeper', { skip }, () => {
  it('survives what no server of ours says, and ends the tree then', async () => {
    const header = (length: number, kind: number) => {
      const bytes = Buffer.alloc(8)
      bytes.writeUInt32LE(length, 0)
      bytes.writeUInt32LE(kind, 4)
      return bytes
    }
    for (const bytes of [
      header(0, 2),
      header(0xffffffff, 1),
      Buffer.concat([header(8, 9), Buffer.alloc(8)]),
      Buffer.alloc(64),
    ]) {
      const run = keep(file, bytes)
      assert.equal(await run.gone, 0)
      assert.deepEqual(run.told, [])
    }
    for (const bytes of [header(25, 2), header(8, 2), header(0, 1), header(8, 4), header(0, 77), header(0, 3)]) {
      const { name, env } = mark()
      const run = keep(file, { ...shell('sleep 1000 & wait'), env }, { graceMs: 0 })
      await run.answer('started')
      run.control.write(Buffer.concat([bytes, Buffer.alloc(bytes.readUInt32LE(0))]))
      assert.equal(await run.gone, 0)
      assert.deepEqual(marked(name), [])
    }
  })

  it('refuses a plan that is none, or of another version, wherever it is cut [X44]', async () => {
    const plan = Buffer.from(encodePlan({ ...PLAN, argv: [Buffer.from('a')], env: [] }, 1))
    const variants: [Buffer, string][] = []
    for (let end = plan.byteLength - 1; end >= 8; end--)
      variants.push([plan.subarray(0, end), end < 12 ? 'EPROTO' : 'EINVAL'])
    const changed = (at: number, value: number) => {
      const copy = Buffer.from(plan)
      copy.writeUInt32LE(value, at)
      return copy
    }
    variants.push([changed(8, 1), 'EPROTO'], [changed(36, 1_000_000), 'EINVAL'], [changed(40, 17), 'EINVAL'])
    variants.push(
      [changed(44, 0), 'EINVAL'],
      [changed(44, 0xffffffff), 'EINVAL'],
      [changed(48, 0xffffffff), 'EINVAL'],
      [Buffer.concat([plan, Buffer.alloc(1)]), 'EINVAL'],
    )
    await Promise.all(
      variants.map(async ([bytes, errno]) => {
        const whole = Buffer.from(bytes)
        whole.writeUInt32LE(whole.byteLength - 8, 0)
        const run = keep(file, whole)
        assert.equal(await run.gone, 0)
        assert.deepEqual(run.told, [{ kind: 'failed', stage: 'plan', errno }])
      }),
    )
  })

  it('leaves nothing wherever the server goes during a launch [R-585]', async () => {
    for (let round = 0; round < 32; round++) {
      const { name, env } = mark()
      const run = keep(file, { ...shell('sleep 1000 & setsid sleep 1000 & wait'), env }, { graceMs: 0 })
      // a turn more of this process each time, so that every moment of the launch has its round
      for (let turn = 0; turn < round / 3; turn++) await new Promise(setImmediate)
      if (round % 2 === 0) run.control.destroy()
      else run.control.write(encodeEnd(0))
      assert.equal(await run.gone, 0)
      assert.deepEqual(marked(name), [], `round ${round}`)
    }
  })

  it('keeps no zombie of a tree that makes many orphans [R-586]', async () => {
    const run = keep(file, shell('for i in $(seq 40); do (true & true &) ; done; echo done; sleep 1000'))
    await eventually(() => run.output().includes('done'), 'the orphans', 20_000)
    await eventually(() => childrenOf(run.process.pid ?? 0).length === 1, 'only the leader')
    run.control.write(encodeEnd(0))
    await run.gone
  })
})

describe('the keeper, as root', { skip: skip || (!isRoot && 'not root') }, () => {
  /** A user of nobody's, so that its processes are the tree's alone. */
  const user = { uid: 54_321, gid: 54_322, groups: [54_322, 54_323] }

  it('ends a tree that forks without end, within its limit [R-587]', async () => {
    const { name, env } = mark()
    const folder = mkdtempSync(join(base, 'f-'))
    const bomb = join(folder, 'bomb')
    copyFileSync(await compiledFixture('bomb'), bomb)
    for (const path of [base, folder, bomb]) chmodSync(path, 0o755)
    const run = keep(
      file,
      { file: Buffer.from(bomb), argv: [Buffer.from('bomb')], env, user, limits: { nproc: 150 } },
      { graceMs: 50 },
    )
    await eventually(() => marked(name).length > 100, 'the processes', 20_000)
    run.control.destroy()
    assert.equal(await run.gone, 0)
    assert.deepEqual(marked(name), [])
  })
})
