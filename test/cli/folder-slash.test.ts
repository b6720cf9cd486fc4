/**
 * A slash, or `/.`, at the end of an operand says that it is a directory: each operand of each
 * command, here and at the peer.
 */
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, beforeEach, describe, it } from 'node:test'
import { saysFolder, wirePath } from '../../src/runtime/byte-path.ts'
import { byteString } from '../../src/runtime/byte-string.ts'
import { filesystem } from '../../protocols/filesystem.ts'
import { run as runHere } from '../../src/cli/run.ts'
import { serve } from '../../src/index.ts'
import type { Server } from '../../src/index.ts'
import { capturedContext } from '../helpers/captured-context.ts'
import { trunkline } from '../helpers/command-line.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

const root = temporaryFolder()
const here = temporaryFolder()
let server: Server

before(async () => {
  server = await serve('tcp://127.0.0.1:0', { protocols: [filesystem({ root })] })
})
after(() => server.close())
beforeEach(() => {
  for (const folder of [root, here]) for (const name of ['file', 'other']) writeFileSync(join(folder, name), name)
})

interface Said {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

async function run(...args: string[]): Promise<Said> {
  const to = server.address
  // only a process has a standard input of its own
  if (args.includes('-')) return await trunkline(args, { to, input: 'standard input' })
  const { context, stdout, stderr } = capturedContext({ TRUNKLINE_TO: to })
  const status = await runHere(args, context)
  return { status, stdout: stdout(), stderr: stderr() }
}

/** Operands that name a file with a slash, or something new, and the one that is at fault. */
const REFUSED: readonly (readonly [fault: string, ...args: string[]])[] = [
  [':file/', 'cat', ':file/'],
  [':file/.', 'cat', ':file/.'],
  [':/file/', 'stat', ':/file/'],
  [':file/', 'stat', '--sha256', ':file/'],
  [':file/', 'ls', ':file/'],
  [':file/', 'rm', ':file/'],
  [':file//', 'rm', '-r', ':file//'],
  [':file/', 'mv', ':file/', ':moved'],
  [':file', 'mv', ':file', ':new/'],
  [':file', 'mv', ':file', ':new/.'],
  [':other/', 'mv', ':file', ':other/'],
  [':file/', 'cp', ':file/', join(here, 'copied')],
  [':file/', 'cp', '-r', ':file/', join(here, 'copied')],
  [`${join(here, 'new')}/`, 'cp', ':file', `${join(here, 'new')}/`],
  [`${join(here, 'new')}/.`, 'cp', ':file', `${join(here, 'new')}/.`],
  [`${join(here, 'file')}/`, 'cp', ':file', `${join(here, 'file')}/`],
  [`${join(here, 'file')}/`, 'cp', `${join(here, 'file')}/`, ':copied'],
  [':new/', 'cp', join(here, 'file'), ':new/'],
  [':new/.', 'cp', join(here, 'file'), ':new/.'],
  [':other/', 'cp', join(here, 'file'), ':other/'],
  [':new/', 'cp', '-', ':new/'],
  [':other/', 'cp', '-', ':other/'],
]

describe('an operand that ends with a slash', () => {
  it('of a file, or of something new, fails and changes nothing [R-431]', async () => {
    for (const [fault, ...args] of REFUSED) {
      const { status, stdout, stderr } = await run(...args)
      assert.ok(stderr.startsWith(`trunkline: ERR_NOT_DIRECTORY: ${fault}: `), `${args.join(' ')}: ${stderr}`)
      assert.deepEqual([status, stdout], [1, ''], args.join(' '))
      for (const folder of [root, here]) {
        assert.deepEqual(readdirSync(folder).sort(), ['file', 'other'], args.join(' '))
        assert.equal(readFileSync(join(folder, 'other'), 'utf8'), 'other', args.join(' '))
      }
    }
  })

  it('takes files that are moved there into a directory, or loses none of them [R-431]', async () => {
    assert.equal((await run('mv', ':file', ':done/')).status, 1)
    assert.equal((await run('mv', ':other', ':done/')).status, 1)
    assert.equal((await run('mkdir', ':done/')).status, 0)
    assert.equal((await run('mv', ':file', ':done/')).status, 0)
    assert.equal((await run('mv', ':other/../other', ':done/')).status, 1)
    assert.equal((await run('mv', ':other', ':done/.')).status, 0)
    assert.deepEqual(readdirSync(join(root, 'done')).sort(), ['file', 'other'])
    assert.equal((await run('mv', ':done/', ':kept/')).status, 0)
    assert.equal((await run('ls', ':kept/')).stdout, 'file\nother\n')
    assert.equal((await run('rm', '-r', ':kept/')).status, 0)
    assert.ok(!existsSync(join(root, 'kept')))
  })

  it('removes and renames nothing by the name `.`', async () => {
    mkdirSync(join(root, 'stays'))
    for (const args of [
      ['rm', '-r', ':stays/.'],
      ['mv', ':stays/.', ':other-name'],
    ]) {
      assert.equal((await run(...args)).status, 2)
      assert.ok(existsSync(join(root, 'stays')))
    }
  })

  it('is known by its end, and keeps it on the way to the client', () => {
    for (const path of ['a/', 'a//', 'a/.', 'a/./', '.', './', '', '/']) assert.ok(saysFolder(byteString(path)), path)
    for (const path of ['a', 'a.', 'a/b', '..', 'a/..', '.a', 'a/b.']) assert.ok(!saysFolder(byteString(path)), path)
    const wires = { 'a/': 'a/', '/a//b/./': 'a/b/', 'a/.': 'a/', '/': '', '.': '', '': '', './a': 'a', '//': '' }
    for (const [path, wire] of Object.entries(wires)) assert.equal(wirePath(byteString(path)), wire, path)
  })
})
