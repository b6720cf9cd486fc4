/**
 * Local paths and arguments that are not UTF-8: they name what they name, or are refused, and never
 * something else.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { filesystem, filesystemClient } from '../../protocols/filesystem.ts'
import { rawArguments, rawEnvironment } from '../../src/cli/byte-string.ts'
import { byteString, toBytes } from '../../src/runtime/byte-string.ts'
import { run as runHere } from '../../src/cli/run.ts'
import { connect, serve } from '../../src/index.ts'
import type { Server } from '../../src/index.ts'
import { unix } from '../../transports/unix.ts'
import { BINARY } from '../helpers/command-line.ts'
import { capturedContext } from '../helpers/captured-context.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

const skip = process.platform !== 'linux' && 'only Linux has names that are not UTF-8 and tells them'

/** A name that is not UTF-8, as an argument, and the name that Node makes of it as text. */
const NAME = 'caf\udce9'
const DECOY = 'caf\ufffd'

const root = temporaryFolder()
const here = temporaryFolder()
let server: Server

/** The bytes of a path of test text with escapes. */
const at = (...parts: string[]): Buffer => toBytes(byteString(join(...parts)))

before(async () => {
  server = await serve('tcp://127.0.0.1:0', { protocols: [filesystem({ root })] })
  writeFileSync(join(root, 'f'), 'new')
  for (const folder of [NAME, DECOY]) {
    mkdirSync(at(here, folder))
    writeFileSync(at(here, folder, 'plain'), `old of ${folder === NAME ? 'the folder' : 'the decoy'}`)
  }
})
after(() => server.close())

async function run(args: string[], env: Record<string, string> = {}): Promise<{ status: number; stderr: string }> {
  const { context, stderr } = capturedContext({ TRUNKLINE_TO: server.address, ...env })
  const status = await runHere(args, context)
  return { status, stderr: stderr() }
}

describe('a path here that is not UTF-8', { skip }, () => {
  it('is the one that is replaced, and its look-alike stays [R-433]', async () => {
    assert.deepEqual(await run(['cp', ':f', join(here, NAME, 'plain')]), { status: 0, stderr: '' })
    assert.equal(readFileSync(at(here, NAME, 'plain'), 'utf8'), 'new')
    symlinkSync(at(here, NAME, 'plain'), join(here, 'link'))
    writeFileSync(join(root, 'f'), 'newer')
    assert.deepEqual(await run(['cp', ':f', join(here, 'link')]), { status: 0, stderr: '' })
    assert.equal(readFileSync(at(here, NAME, 'plain'), 'utf8'), 'newer')
    assert.equal(readFileSync(at(here, DECOY, 'plain'), 'utf8'), 'old of the decoy')
    assert.deepEqual(await run(['cp', '-r', join(here, NAME), ':tree']), { status: 0, stderr: '' })
    assert.equal(readFileSync(join(root, 'tree/plain'), 'utf8'), 'newer')
  })

  it('is the token file that is read, also where the environment names it [R-433]', async () => {
    writeFileSync(at(here, NAME, 'token'), 'sixteen bytes and more')
    const held = await serve('tcp://127.0.0.1:0', {
      token: 'sixteen bytes and more',
      protocols: [filesystem({ root })],
    })
    const to = { TRUNKLINE_TO: held.address }
    assert.deepEqual(await run(['ls', '--token-file', join(here, NAME, 'token')], to), { status: 0, stderr: '' })
    assert.equal((await run(['ls', '--token-file', join(here, DECOY, 'token')], to)).status, 2)
    await held.close()
  })

  it('is the folder that is served, named whole or as the one that serve was started in [R-433]', async () => {
    const folder = at(here, NAME).toString('latin1')
    for (const [cwd, given] of [
      ['/', folder],
      [folder, '.'],
      [folder, '../caf\xe9'],
    ] as const) {
      const script = `cd '${cwd}' && exec "$1" "$2" serve tcp://127.0.0.1:0 --fs '${given}'\n`
      const { child, firstLine } = await shell(script)
      await using trunk = await connect(firstLine)
      const bytes = await filesystemClient(trunk).readSmall('plain')
      assert.match(String(bytes && Buffer.from(bytes)), /^new/)
      child.kill('SIGTERM')
      await once(child, 'close')
    }
  })

  it('reaches a command through the shell and the environment as the bytes that it is [R-433]', async () => {
    writeFileSync(at(here, NAME, 'token'), 'short')
    const file = at(here, NAME, 'token').toString('latin1')
    const { child, stderr } = await shell(
      `TRUNKLINE_TOKEN_FILE='${file}' exec "$1" "$2" ls --to tcp://127.0.0.1:1\n`,
      'stderr',
    )
    await once(child, 'close')
    // a secret that is too short: it was found, and not that of the decoy, which has none
    assert.match(stderr(), /^trunkline: ERR_BAD_ARGUMENT: .*16/)
  })
})

describe('what cannot take bytes', { skip }, () => {
  it('refuses an address, an option and a root that are no text [R-434]', async () => {
    for (const args of [
      ['ls', '--to', `unix://${here}/${NAME}`],
      ['ls', '--to', `exec:${NAME}`],
      ['serve', `serial://${here}/${NAME}`],
      ['doctor', `unix://${here}/${NAME}`],
    ]) {
      const { status, stderr } = await run(args)
      assert.match(stderr, /^trunkline: ERR_ADDRESS_INVALID: .* it holds bytes that are not UTF-8\n$/, args.join(' '))
      assert.equal(status, 2)
    }
    await assert.rejects(connect(`unix://${here}/${NAME}`), { code: 'ERR_ADDRESS_INVALID' })
    assert.throws(() => unix({ path: `${here}/${NAME}` }), { code: 'ERR_BAD_ARGUMENT' })
    assert.throws(() => filesystem({ root: `${here}/${NAME}` }), { code: 'ERR_BAD_ARGUMENT' })
    assert.ok(filesystem({ root: at(here, NAME) }))
  })

  it('refuses arguments that have lost bytes where nobody tells which [R-434]', async () => {
    // this process was not started with it, so /proc does not have it
    assert.throws(() => rawArguments(['ls', `:${DECOY}`]), { code: 'ERR_BAD_ARGUMENT' })
    assert.equal((await run(['ls', `:${DECOY}`])).status, 2)
    const raw = rawEnvironment({ TRUNKLINE_TO: `unix:///${DECOY}`, OTHER: DECOY })
    assert.deepEqual(raw, { TRUNKLINE_TO: 'unix:///caf\udcbd', OTHER: DECOY })
  })
})

/** `script` in a shell, which alone can be told bytes; $1 and $2 are the command. */
async function shell(script: string, output: 'stdout' | 'stderr' = 'stdout') {
  const child = spawn('sh', ['-s', process.execPath, BINARY], { stdio: ['pipe', 'pipe', 'pipe'] })
  let errors = ''
  child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()))
  child.stdin.end(Buffer.from(script, 'latin1'))
  const firstLine = output === 'stdout' ? String(((await once(child.stdout, 'data')) as [Buffer])[0]).trim() : ''
  return { child, firstLine, stderr: () => errors }
}
