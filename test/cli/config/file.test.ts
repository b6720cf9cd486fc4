/** The file of the configuration, whatever stands in its place. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { configPlace, MAX_CONFIG_BYTES, readConfigFile } from '../../../src/cli/config/file.ts'
import { byteString } from '../../../src/runtime/byte-string.ts'
import { asFailure } from '../../../src/cli/failure.ts'
import { temporaryFolder } from '../../helpers/temporary-folder.ts'

const folder = temporaryFolder()
const at = (name: string) => ({ path: byteString(join(folder, name)), shown: name, named: true })

/** What is said of the file: `CODE: SENTENCE`. */
function refused(name: string): string {
  try {
    readConfigFile(at(name))
  } catch (error) {
    const { code, message, status } = asFailure(error)
    assert.equal(status, 2)
    return `${code}: ${message}`
  }
  return 'nothing'
}

describe('the file of the configuration', () => {
  it('is refused in one line where it is no file of text of ours [R-678]', () => {
    mkdirSync(join(folder, 'folder'))
    execFileSync('mkfifo', [join(folder, 'fifo')])
    symlinkSync('loop', join(folder, 'loop'))
    symlinkSync('/dev/zero', join(folder, 'device'))
    writeFileSync(join(folder, 'huge'), Buffer.alloc(MAX_CONFIG_BYTES + 1, '\n'), { mode: 0o600 })
    writeFileSync(join(folder, 'latin'), Buffer.from('# a\n# \xe4\n', 'latin1'), { mode: 0o600 })
    writeFileSync(join(folder, 'utf16'), Buffer.from('\uFEFF# a\n', 'utf16le'), { mode: 0o600 })
    writeFileSync(join(folder, 'open'), '')
    chmodSync(join(folder, 'open'), 0o664)
    const said: Record<string, RegExp> = {
      folder: /^ERR_CONFIG_INVALID: folder: it is a directory, and has to be a file$/,
      fifo: /^ERR_CONFIG_INVALID: fifo: it is no regular file$/,
      device: /^ERR_CONFIG_INVALID: device: it is no regular file$/,
      loop: /^ERR_CONFIG_INVALID: loop: /,
      'not-there': /^ERR_CONFIG_INVALID: not-there: no such file or directory$/,
      'folder/below/x': /^ERR_CONFIG_INVALID: folder\/below\/x: /,
      huge: /^ERR_CONFIG_INVALID: huge: it has more than 262144 bytes$/,
      latin: /^ERR_CONFIG_INVALID: latin:2: the file is no text in UTF-8$/,
      utf16: /^ERR_CONFIG_INVALID: utf16:1: the file is no text in UTF-8$/,
      open: /^ERR_CONFIG_INVALID: open: others may write it, and so have anything run here; chmod go-w$/,
    }
    for (const [name, sentence] of Object.entries(said)) assert.match(refused(name), sentence)
  })

  it('is one that others cannot read [R-678]', { skip: process.geteuid?.() === 0 && 'root reads everything' }, () => {
    writeFileSync(join(folder, 'closed'), '', { mode: 0o000 })
    assert.match(refused('closed'), /^ERR_CONFIG_INVALID: closed: permission denied$/)
  })

  it(
    '[R-678] belongs to this user or to root',
    { skip: process.geteuid?.() !== 0 && 'only root gives files away' },
    () => {
      writeFileSync(join(folder, 'given'), '', { mode: 0o600 })
      execFileSync('chown', ['65534', join(folder, 'given')])
      assert.match(
        refused('given'),
        /^ERR_CONFIG_INVALID: given: it belongs to another user, who could have anything run here$/,
      )
    },
  )

  it('may be as large as the bound, and behind a link', () => {
    writeFileSync(join(folder, 'large'), Buffer.alloc(MAX_CONFIG_BYTES, '\n'), { mode: 0o600 })
    symlinkSync('large', join(folder, 'link'))
    assert.equal(readConfigFile(at('link'))?.length, MAX_CONFIG_BYTES)
  })

  it('need not be there where the user has named none', () => {
    assert.equal(readConfigFile({ ...at('not-there'), named: false }), undefined)
  })

  it('is where the option, the environment or the home directory say, and never in the current folder [R-678]', () => {
    const place = (env: Record<string, string>, option?: string) => configPlace({ env }, option)?.shown
    const all = { TRUNKLINE_CONFIG: '/e', XDG_CONFIG_HOME: '/x', HOME: '/h' }
    assert.equal(place(all, '/o'), '/o')
    assert.equal(place(all), '/e')
    assert.equal(place({ XDG_CONFIG_HOME: '/x', HOME: '/h', TRUNKLINE_CONFIG: '' }), '/x/trunkline/config.toml')
    assert.equal(place({ XDG_CONFIG_HOME: 'x', HOME: '/h' }), '/h/.config/trunkline/config.toml')
    assert.equal(place({ XDG_CONFIG_HOME: '.', HOME: '.' }), undefined)
    assert.equal(place({}), undefined)
  })
})
