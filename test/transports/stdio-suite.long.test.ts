/**
 * The conformance suite over exec and stdio: a process for each pair of links. What they do besides
 * is in stdio.test.ts.
 */
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { TransportOptions } from '../../src/contracts/types.ts'
import { exec } from '../../transports/stdio.ts'
import { unix } from '../../transports/unix.ts'
import type { LinkPair } from '../conformance/transport.ts'
import { transportConformance } from '../conformance/transport.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'
import { typeScript } from '../helpers/typescript.ts'

const folder = temporaryFolder()
const bridge = fileURLToPath(new URL('../fixtures/stdio-bridge.ts', import.meta.url))
let sockets = 0

/**
 * A child whose `stdio:` end is joined to a unix socket: what we hold is exec's end and, through
 * the child, the other one.
 */
async function pair(given: TransportOptions): Promise<LinkPair> {
  const path = join(folder, `${sockets++}.sock`)
  const listener = await unix({ path }).listen(given)
  const near = await exec({ command: process.execPath, args: typeScript(bridge, path) }).connect(given)
  for await (const far of listener) return { near, far, done: () => listener.close() }
  throw new Error('the listener ended')
}

transportConformance('exec and stdio', () => exec('exec:true'), {
  pair,
  skip: { listen: 'a command cannot be listened at' },
})
