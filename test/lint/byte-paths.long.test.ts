/**
 * The lint rule that keeps text out of the functions of node:fs: what it lets through, and what
 * not.
 */
import assert from 'node:assert/strict'
import { fileURLToPath } from 'node:url'
import { describe, it } from 'node:test'
import { ESLint } from 'eslint'

const root = fileURLToPath(new URL('../..', import.meta.url))

const GOOD = `import { fstatSync, renameSync, readFileSync, realpathSync } from 'node:fs'
import { opendir, stat } from 'node:fs/promises'
export const use = async (path: Buffer, fd: number, either: Buffer | number) => [
  fstatSync(fd), renameSync(path, path), readFileSync('/proc/self/stat'), readFileSync(either), await stat(path),
  realpathSync.native(path, 'buffer'), await opendir(path, { encoding: 'buffer' as BufferEncoding }),
]
`
/** Each line is one fault. */
const BAD = [
  `import { statSync } from 'node:fs'; export const f = (path: string) => statSync(path)`,
  `import { stat as look } from 'node:fs/promises'; export const f = (path: string | Buffer) => look(path)`,
  `import { renameSync } from 'node:fs'; export const f = (from: Buffer, to: string) => renameSync(from, to)`,
  'import { statSync } from "node:fs"; export const f = (name: string) => statSync(`/srv/${name}`)',
  `import { realpath } from 'node:fs/promises'; export const f = (path: Buffer) => realpath(path)`,
  `import { readdirSync } from 'node:fs'; export const f = (path: Buffer) => readdirSync(path, 'utf8')`,
  `import * as fs from 'node:fs'; export const f = (path: Buffer) => fs.statSync(path)`,
  `import { statSync } from 'node:fs'; export const f = (path: URL) => statSync(path)`,
]

describe('the lint rule for paths', () => {
  it('wants bytes for node:fs, and names as bytes from it, in the command line and in the filesystem protocol [R-432]', async () => {
    const eslint = new ESLint({ cwd: root })
    const faults = async (text: string, filePath: string): Promise<number> => {
      const [result] = await eslint.lintText(text, { filePath })
      assert.equal(result?.fatalErrorCount, 0)
      return result.messages.filter(({ ruleId }) => ruleId === 'trunkline/byte-paths').length
    }
    for (const filePath of ['src/cli/commands/cp.ts', 'protocols/filesystem/serve-list.ts']) {
      assert.equal(await faults(GOOD, filePath), 0)
      for (const text of BAD) assert.equal(await faults(text, filePath), 1, text)
    }
  })
})
