/** Programs that talk through `exec`, one here and one at the peer: tar and git. */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { once } from 'node:events'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { text } from 'node:stream/consumers'
import { BINARY, serving, type Serving } from '../helpers/command-line.ts'
import { installed } from '../helpers/installed.ts'
import { endWithTests } from '../helpers/left-children.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

const MIB = 1024 * 1024
const FILES = 64
const FILE_BYTES = 16 * MIB

describe('programs that talk through exec', { skip: process.platform === 'win32' && 'no such programs' }, () => {
  const folder = temporaryFolder()
  let server: Serving

  before(async () => {
    server = await serving(['--exec', 'any'], `unix://${join(folder, 's')}`)
  })
  after(async () => {
    await server.stop()
  })

  /** A pipeline of the shell, in which `$trunkline exec` runs a command at the peer. */
  async function shell(script: string, ...words: string[]): Promise<string> {
    const env = { ...process.env, TRUNKLINE_TO: server.address, trunkline: `${process.execPath} ${BINARY}` }
    const child = spawn('bash', ['-c', `set -e -o pipefail; ${script}`, 'bash', ...words], {
      cwd: folder,
      env,
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    endWithTests(child)
    const exit = once(child, 'exit') as Promise<[number | null]>
    const [said, [status]] = await Promise.all([text(child.stdout), exit])
    assert.equal(status, 0, script)
    return said
  }

  it('[R-887] tar writes there what tar reads here, 1 GiB with all of its bytes, and back', async () => {
    installed({ bash: 'bash', tar: 'tar', sha256sum: 'coreutils' })
    for (const name of ['from', 'there']) mkdirSync(join(folder, name))
    // no two files and no two blocks of one are alike
    const block = randomBytes(FILE_BYTES + FILES)
    for (let at = 0; at < FILES; at++)
      writeFileSync(join(folder, 'from', `file-${at}`), block.subarray(at, at + FILE_BYTES))
    const digest = 'find . -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum'
    const sent = await shell(`cd from; ${digest}`)
    await shell('tar -c -C from . | $trunkline exec tar -x -C "$1"', join(folder, 'there'))
    rmSync(join(folder, 'from'), { recursive: true })
    assert.equal(await shell('$trunkline exec -w "$1" sh -c "$2"', join(folder, 'there'), digest), sent)
    // the way back is held against the files themselves: it is written nowhere
    await shell('$trunkline exec tar -c -C "$1" . | tar --compare -C "$1"', join(folder, 'there'))
    rmSync(join(folder, 'there'), { recursive: true })
  })

  it('[R-888] git clones from the peer, fetches, and pushes to it', async () => {
    installed({ git: 'git' })
    const bare = join(folder, 'bare.git')
    const git = (cwd: string, ...words: string[]): string => {
      const settings = ['-c', 'protocol.ext.allow=always', '-c', 'user.name=none', '-c', 'user.email=none@localhost']
      const env = { ...process.env, TRUNKLINE_TO: server.address, GIT_CONFIG_NOSYSTEM: '1', HOME: folder }
      return execFileSync('git', [...settings, ...words], { cwd, env, encoding: 'utf8', stdio: 'pipe' }).trim()
    }
    const commit = (cwd: string, name: string, files: number): void => {
      for (let at = 0; at < files; at++) writeFileSync(join(cwd, `${name}-${at}`), randomBytes(at * 97))
      git(cwd, 'add', '.')
      git(cwd, 'commit', '-q', '-m', name)
    }
    git(folder, 'init', '-q', '--bare', '-b', 'main', bare)
    const first = join(folder, 'first')
    git(folder, 'clone', '-q', bare, first)
    commit(first, 'many', 100)
    git(first, 'push', '-q', 'origin', 'HEAD:main')
    const clone = join(folder, 'clone')
    // %S is the program at the other end: git-upload-pack, or git-receive-pack
    git(folder, 'clone', '-q', `ext::${process.execPath} ${BINARY} exec %S ${bare}`, clone)
    assert.equal(git(clone, 'rev-parse', 'HEAD'), git(first, 'rev-parse', 'HEAD'))
    assert.equal(git(clone, 'fsck', '--full'), '')
    commit(clone, 'more', 20)
    git(clone, 'push', '-q', 'origin', 'HEAD:main')
    assert.equal(git(bare, 'rev-parse', 'main'), git(clone, 'rev-parse', 'HEAD'))
    commit(first, 'other', 5)
    git(first, 'push', '-q', 'origin', 'HEAD:side')
    git(clone, 'fetch', '-q')
    assert.equal(git(clone, 'rev-parse', 'origin/side'), git(first, 'rev-parse', 'HEAD'))
  })
})
