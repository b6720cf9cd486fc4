/** Progress on a terminal. */
import assert from 'node:assert/strict'
import { mkdirSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { run } from '../../src/cli/run.ts'
import { serve } from '../../src/index.ts'
import { filesystem } from '../../protocols/filesystem.ts'
import { capturedContext } from '../helpers/captured-context.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

describe('progress', () => {
  const folder = temporaryFolder()
  mkdirSync(join(folder, 'root'))
  // large enough to last for several drawings however fast the line is
  writeFileSync(join(folder, 'root/large'), '')
  truncateSync(join(folder, 'root/large'), 300_000_000)

  async function copyAt(columns: number): Promise<string> {
    await using server = await serve('unix://' + join(folder, `s${columns}`), {
      protocols: [filesystem({ root: join(folder, 'root') })],
    })
    const { context, stderr } = capturedContext({ TRUNKLINE_TO: server.address }, columns)
    assert.equal(await run(['cp', ':large', join(folder, 'copy')], context), 0)
    return stderr()
  }

  it('is drawn on a terminal, with a rate and the time left, and keeps to its width', async () => {
    const drawn = await copyAt(80)
    assert.match(drawn, /large .*[█░]{8,} +\d+ % .*\/s .* left/)
    assert.match(drawn, /286 MiB in /)
    // eslint-disable-next-line no-control-regex -- what moves the cursor takes no room
    for (const line of drawn.split(/\u001B(?:\[[\d;?]*[A-Za-z]|[78])|\r?\n/)) assert.ok(line.length <= 80, line)
  })
})
