/**
 * The command line over the tty of a guest in user-mode Linux: what a user does who has no
 * hypervisor at all.
 */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { temporaryFolder } from '../helpers/temporary-folder.ts'
import { installedApp } from './bed/app.ts'
import { run, thisMachine, type Machine } from './bed/job.ts'
import { prepareBed } from './bed/prepare.ts'
import { bootUserMode, GUEST_TTY, type UserModeGuest } from './bed/user-mode.ts'

const TRUNKLINE = 'node node_modules/trunkline/dist/bin/trunkline.cjs'
/** Longest time for one command. */
const COMMAND_MS = 120_000

describe('a guest in user-mode Linux', () => {
  let guest: UserModeGuest
  let host: Machine
  let address: string

  before(async () => {
    const app = await installedApp()
    host = thisMachine(app)
    guest = await bootUserMode(await prepareBed(), app, `${TRUNKLINE} serve serial://${GUEST_TTY} --fs /srv`)
    address = `serial://${guest.tty}`
  })

  after(async () => {
    // undefined where it did not boot
    await (guest as UserModeGuest | undefined)?.stop()
  })

  it('takes and gives a megabyte, although its driver stops when the terminal’s buffer is full [R-556]', async (t) => {
    const folder = temporaryFolder()
    const [sent, back] = [join(folder, 'sent'), join(folder, 'back')]
    writeFileSync(sent, randomBytes(2 ** 20))
    for (const words of [`cp --wait 60 ${sent} :copy`, `cp :copy ${back}`]) {
      const start = performance.now()
      await run(host, `${TRUNKLINE} ${words} --to ${address}`, COMMAND_MS)
      t.diagnostic(`${words.replaceAll(folder, '')}: ${(performance.now() - start).toFixed(0)} ms`)
    }
    assert.ok(readFileSync(back).equals(readFileSync(sent)))
  })

  it('serves over its tty at the first try [R-472]', async (t) => {
    const output = await run(host, `${TRUNKLINE} ping -c 3 --wait 60 --to ${address}`, COMMAND_MS)
    assert.match(output, /\d/)
    t.diagnostic(output.split('\n').at(-1) ?? '')
  })
})
