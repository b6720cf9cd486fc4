/**
 * The second kind of guest: Debian's user-mode Linux, a kernel that runs as a process of this
 * machine, at its own speed, without emulation and without KVM. It has no virtio port and no vsock;
 * its serial line is a pseudo-terminal here. Made of the same shared archive as the others, with an
 * init of its own.
 */
import { appendFileSync, copyFileSync, constants, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { archive, folderEntries } from './cpio.ts'
import { installUserMode } from './debian.ts'
import { thisMachine, type Job } from './job.ts'
import type { Bed } from './prepare.ts'

const MEMORY_MIB = 768
const BOOT_MS = 300_000
/** What its kernel says when the guest opens its serial line. */
const ASSIGNED = /Serial line 0 assigned device '(\/dev\/pts\/\d+)'/

/** How the guest calls its line. */
export const GUEST_TTY = '/dev/ttyS0'

export interface UserModeGuest {
  /** Its line, on this machine. */
  readonly tty: string
  /** What it says. */
  readonly console: Job
  stop(): Promise<void>
}

/**
 * Boots one whose first process runs `command` in /app, the folder `app`, once its line is there;
 * resolves when the command has opened the line.
 */
export async function bootUserMode(bed: Bed, app: string, command: string): Promise<UserModeGuest> {
  installUserMode()
  const folder = mkdtempSync(join(tmpdir(), `trunkline-uml-${process.pid}-`))
  const init = `#!/bin/sh
export PATH=/bin:/sbin:/usr/bin HOME=/root TERM=dumb
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev 2>/dev/null
ip link set lo up
mkdir -p /srv
cd /app && ${command}
echo "it ended with $?"
poweroff -f
`
  const initramfs = join(folder, 'archive')
  copyFileSync(bed.base, initramfs, constants.COPYFILE_FICLONE)
  const own = [{ path: 'init', content: init, isExecutable: true }, ...folderEntries(app, 'app')]
  appendFileSync(initramfs, Buffer.concat(archive(own)))
  const words = [
    `mem=${MEMORY_MIB}M`,
    `initrd=${initramfs}`,
    `uml_dir=${folder}`,
    ...['con=null', 'con0=null,fd:1', 'ssl=null', 'ssl0=pts', 'rootfstype=ramfs', 'panic=-1'],
  ]
  const job = thisMachine(folder).start(`linux.uml ${words.join(' ')}`)
  const stop = async (): Promise<void> => {
    job.kill()
    await job.ended()
    rmSync(folder, { recursive: true })
  }
  try {
    const deadline = performance.now() + BOOT_MS
    for (;;) {
      const line = await job.line(Math.max(1, deadline - performance.now()))
      const tty = ASSIGNED.exec(line)?.[1]
      if (tty !== undefined) return { tty, console: job, stop }
    }
  } catch (error) {
    await stop()
    throw error
  }
}
