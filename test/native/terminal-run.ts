/** Programs on terminals of the addon's, started by the keeper, and what they print. */
import assert from 'node:assert/strict'
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { closeSync } from 'node:fs'
import type { Duplex } from 'node:stream'
import { encodePlan, KeeperRecords, type KeeperRecord } from '../../protocols/exec/keeper/wire.ts'
import { findKeeper } from '../../src/native/keeper-file.ts'
import { nativeStatus, type NativeAddon } from '../../src/native/load.ts'
import { PLAN, shell } from '../helpers/keeper.ts'

const status = nativeStatus()
export const native: NativeAddon = 'native' in status ? status.native : (undefined as never)
const file = findKeeper() ?? ''
/** Why nothing of this can be had. */
export const skip: string | false = 'problem' in status ? status.problem : file === '' && 'the keeper was not built'
export const SIZE: Readonly<Record<'columns' | 'rows' | 'x' | 'y', number>> = { columns: 132, rows: 43, x: 0, y: 0 }

export interface TerminalRun {
  readonly master: number
  readonly keeper: ChildProcess
  readonly control: Duplex
  readonly told: readonly KeeperRecord[]
  readonly gone: Promise<unknown>
}

/** Runs a script on a new terminal. */
export function onTerminal(script: string): TerminalRun {
  const { master, slave } = native.openTerminal(SIZE.columns, SIZE.rows, SIZE.x, SIZE.y)
  const keeper = spawn(file, [], { stdio: [slave, slave, slave, 'pipe'], env: {}, detached: true })
  closeSync(slave)
  const control = keeper.stdio[3] as unknown as Duplex
  const told: KeeperRecord[] = []
  const records = new KeeperRecords()
  control.on('data', (chunk: Buffer) => told.push(...records.push(chunk)))
  control.on('error', () => undefined)
  control.write(encodePlan({ ...PLAN, ...shell(script), terminal: { ...SIZE, modes: {} } }, 0))
  return { master, keeper, control, told, gone: once(keeper, 'exit') }
}

/** What there is to read now; `ended`: EIO, nobody has the other side any more. */
export function readNow(master: number): { text: string; ended: boolean } {
  const room = new Uint8Array(64 * 1024)
  let text = ''
  for (;;) {
    let length: number | undefined
    try {
      length = native.read(master, room)
    } catch (error) {
      assert.equal((error as NodeJS.ErrnoException).code, 'EIO')
      return { text, ended: true }
    }
    if (length === undefined) return { text, ended: false }
    text += Buffer.from(room.subarray(0, length)).toString('latin1')
  }
}

/** Reads as a program does that waits until the terminal is ready. */
export async function readAll(master: number): Promise<string> {
  let text = ''
  let wake: () => void = () => undefined
  const watch = native.watch(master, () => {
    watch.stop()
    wake()
  })
  for (;;) {
    const { text: more, ended } = readNow(master)
    text += more
    if (ended) break
    const ready = new Promise<void>((resolve) => (wake = resolve))
    watch.start()
    await ready
  }
  watch.close()
  return text
}
