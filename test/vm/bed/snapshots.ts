/**
 * Snapshots of a running guest: its memory and its devices, in an image of QEMU's that is made
 * here. What QEMU is connected to stays as it is.
 */
import { join } from 'node:path'
import { temporaryFolder } from '../../helpers/temporary-folder.ts'
import type { Qmp } from './qmp.ts'

/** Room for what a guest's memory may hold; the file has what is written. */
const IMAGE_BYTES = 8 * 1024 ** 3
const NODE = 'snapshots'
const PAUSE_MS = 20

interface QemuJob {
  readonly id: string
  readonly status: string
  readonly error?: string
}

export class Snapshots {
  readonly #qmp: Qmp
  #jobs = 0

  private constructor(qmp: Qmp) {
    this.#qmp = qmp
  }

  /** Makes the image, which goes with this process. */
  static async of(qmp: Qmp): Promise<Snapshots> {
    const snapshots = new Snapshots(qmp)
    const filename = join(temporaryFolder(), 'snapshots')
    await snapshots.#job('blockdev-create', { options: { driver: 'file', filename, size: 0 } })
    await qmp.execute('blockdev-add', { driver: 'file', 'node-name': 'file', filename })
    await snapshots.#job('blockdev-create', { options: { driver: 'qcow2', file: 'file', size: IMAGE_BYTES } })
    await qmp.execute('blockdev-add', { driver: 'qcow2', 'node-name': NODE, file: 'file' })
    return snapshots
  }

  async save(tag: string): Promise<void> {
    await this.#job('snapshot-save', { tag, vmstate: NODE, devices: [NODE] })
  }

  /** The guest goes on from where it was when it was saved. */
  async restore(tag: string): Promise<void> {
    await this.#job('snapshot-load', { tag, vmstate: NODE, devices: [NODE] })
    await this.#qmp.execute('cont')
  }

  /** Starts a job of QEMU's and waits for its end. */
  async #job(command: string, args: Readonly<Record<string, unknown>>): Promise<void> {
    const id = `job${++this.#jobs}`
    await this.#qmp.execute(command, { 'job-id': id, ...args })
    for (;;) {
      const jobs = (await this.#qmp.execute('query-jobs')) as QemuJob[]
      const job = jobs.find((each) => each.id === id)
      if (job === undefined) throw new Error(`QEMU has lost ${command}`)
      if (job.status !== 'concluded') {
        await new Promise((resolve) => setTimeout(resolve, PAUSE_MS))
        continue
      }
      await this.#qmp.execute('job-dismiss', { id })
      if (job.error !== undefined) throw new Error(`${command}: ${job.error}`)
      return
    }
  }
}
