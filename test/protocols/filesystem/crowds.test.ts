/**
 * Many reads that nobody takes, and many hashes, over several trunks of one server: what they hold,
 * and what they leave to the others.
 */
import assert from 'node:assert/strict'
import { openSync, closeSync, ftruncateSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { filesystem, filesystemClient } from '../../../protocols/filesystem.ts'
import { keptAlive } from '../../helpers/eventually.ts'
import { outcome } from '../../helpers/protocols.ts'
import { temporaryFolder } from '../../helpers/temporary-folder.ts'
import { trunkPair } from '../../helpers/trunk-pair.ts'

const MIB = 2 ** 20

describe('[R-405] a crowd', { timeout: 120_000 }, () => {
  it('of 160 reads that are never taken, on four trunks, holds 64 MiB and a piece for each', () =>
    keptAlive(async () => {
      const root = temporaryFolder()
      const fd = openSync(join(root, 'sparse'), 'w')
      ftruncateSync(fd, 2 ** 40)
      closeSync(fd)
      const served = filesystem({ root })
      const pairs = await Promise.all([1, 2, 3, 4].map(() => trunkPair({}, { protocols: [served] })))
      const before = process.memoryUsage().arrayBuffers
      const reads = pairs.flatMap(([near]) => Array.from({ length: 40 }, () => filesystemClient(near).read('sparse')))
      await Promise.all(reads.map((read) => read.next()))
      const held = process.memoryUsage().arrayBuffers - before
      // both ends are here: the windows of the readers are held as well
      assert.ok(held < (64 + (160 * (64 + 128)) / 1024 + 32) * MIB, `${Math.round(held / MIB)} MiB`)
      const hashes = Array.from({ length: 8 }, () =>
        outcome(filesystemClient((pairs[0] as [never, never])[0]).sha256('sparse')),
      )
      const [other] = pairs[3] as [Parameters<typeof filesystemClient>[0], unknown]
      assert.equal((await filesystemClient(other).stat('sparse')).size, 2 ** 40)
      for (const [near, far] of pairs) {
        near.abort(new Error('enough'))
        far.abort(new Error('enough'))
      }
      await Promise.all(reads.map((read) => outcome(read.next())))
      await Promise.all(hashes)
    }))
})
