/** The lines that a trunk runs over in these tests: one pair of trunks for each. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, overLink, serve, type Link, type Trunk, type TrunkOptions } from '../../src/index.ts'
import { memoryPair } from '../../transports/memory.ts'
import { trunkPair } from './trunk-pair.ts'

/** A kind of line. */
export interface Line {
  readonly name: string
  /** Two trunks joined by it, and what frees whatever else was made. */
  join(near?: TrunkOptions, far?: TrunkOptions): Promise<{ near: Trunk; far: Trunk; free(): Promise<void> }>
}

/** Memory (both interfaces of a link), TCP and a Unix socket. */
export const LINES: readonly Line[] = [
  { name: 'memory', join: async (near, far) => pair(await trunkPair(near, far)) },
  {
    name: 'memory, by source and sink',
    async join(near, far) {
      const [nearLink, farLink] = memoryPair()
      return pair(await Promise.all([overLink(plain(nearLink), near), overLink(plain(farLink), far)]))
    },
  },
  { name: 'tcp', join: async (near, far) => await served('tcp://127.0.0.1:0', near, far) },
  {
    name: 'unix',
    async join(near, far) {
      const folder = mkdtempSync(join(tmpdir(), 'trunk-'))
      const joined = await served(`unix://${folder}/s`, near, far)
      return {
        ...joined,
        async free() {
          await joined.free()
          rmSync(folder, { recursive: true })
        },
      }
    },
  },
]

/** The same link without its direct interface. */
export function plain(link: Link): Link {
  return {
    source: link.source,
    sink: link.sink,
    close: () => link.close(),
    abort(reason) {
      link.abort(reason)
    },
  }
}

function pair([near, far]: [Trunk, Trunk]): { near: Trunk; far: Trunk; free(): Promise<void> } {
  return {
    near,
    far,
    async free() {
      await Promise.all([near.close(), far.close()])
    },
  }
}

async function served(
  address: string,
  near?: TrunkOptions,
  far?: TrunkOptions,
): Promise<{ near: Trunk; far: Trunk; free(): Promise<void> }> {
  const server = await serve(address, far)
  const trunks = server[Symbol.asyncIterator]()
  const [dialled, taken] = await Promise.all([connect(server.address, near), trunks.next()])
  if (taken.done === true) throw new Error('the server ended')
  return {
    near: dialled,
    far: taken.value,
    async free() {
      await dialled.close()
      await server.close()
    },
  }
}
