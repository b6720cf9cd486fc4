/** The example of switching, over the other kinds of lines. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { freePort } from '../helpers/loopback.ts'
import { ptyPair } from '../helpers/pty.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'
import { typeScript } from '../helpers/typescript.ts'
import { PROGRAMS, runHost, switchTo } from './switching-programs.ts'

describe('docs/examples/switching', () => {
  it('runs over exec and stdio', async () => {
    const folder = temporaryFolder()
    const root = join(folder, 'served')
    mkdirSync(root)
    const port = await freePort()
    const guest = [process.execPath, ...typeScript(join(PROGRAMS, 'guest.ts')), 'stdio:', root, String(port)]
    await runHost(`exec:${guest.join(' ')}`, folder, root, port)
  })

  it('runs over a serial line', async () => {
    const line = await ptyPair()
    try {
      await switchTo(`serial://${line.far}`, `serial://${line.near}`)
    } finally {
      await line.close()
    }
  })
})
