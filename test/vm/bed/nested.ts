/**
 * A guest in a guest: AF_VSOCK between a real host and its guest, wherever this runs. The outer
 * guest is the host. It has the kernel's vhost-vsock, and processors with AMD's virtualization,
 * which QEMU emulates: so the inner guest runs by KVM, not as an emulation within an emulation, and
 * is up in half a minute. Both obey this side: the inner guest's control port is joined to a virtio
 * port of the outer one, which is joined to a socket here.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, realpathSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { librariesOf, programEntries, sameEntries } from './base.ts'
import { Control } from './control.ts'
import type { Entry } from './cpio.ts'
import { BedError } from './debian.ts'
import { dial } from './dial.ts'
import { Guest, KERNEL_LINE, MACHINE, ownArchive, PROCESSOR } from './guest.ts'
import { run, type Job, type Machine } from './job.ts'
import type { Bed } from './prepare.ts'

/** The inner guest's address, as the outer one dials it; the outer one is 2 for the inner one. */
export const INNER_CID = 42
export const HOST_CID = 2

/** Always emulated: this machine's KVM need not let its guests have guests. */
const OUTER = { memoryMiB: 2048, processors: 2, processor: 'max', accelerator: 'tcg' } as const
const INNER_MIB = 640
/** Longest time until the inner guest takes commands. */
const INNER_BOOT_MS = 600_000
/** QEMU's firmware for a kernel that is given on its command line, and where Debian has it. */
const FIRMWARE = ['bios-256k.bin', 'kvmvapic.bin', 'linuxboot_dma.bin']
const FIRMWARE_FOLDERS = ['/usr/share/seabios', '/usr/share/qemu']

/** The two. */
export interface Nested {
  readonly host: Machine
  readonly guest: Machine
  /**
   * What the inner guest said last, once it is gone. It was seen to go under a bare link, without
   * trunkline; why is not known.
   */
  readonly gone: () => string | undefined
  stop(): Promise<void>
}

/** Boots the outer guest and, in it, the inner one; resolves when both take commands. */
export async function bootNested(bed: Bed, app: string): Promise<Nested> {
  const files = [...qemuEntries(), ...innerEntries(bed, app)]
  const outer = await Guest.boot({ bed, app, files, port: 'inner', ...OUTER })
  try {
    await run(outer.control, 'while read -r module; do insmod "$module" || exit 1; done </etc/host-modules')
    // QEMU takes a port that nobody is connected to for one that has ended
    const inner = new Control(await dial(outer.socket('inner'), () => undefined))
    const qemu = outer.control.start(`exec qemu-system-x86_64 ${innerArguments().join(' ')}`)
    let gone: string | undefined
    // its port of ours stays open when it ends
    void qemu.ended(null).then(() => {
      gone = `the inner guest is gone: ${qemu.story}`
      inner.lost(gone)
    })
    await inTime(inner.ready, qemu)
    return {
      host: outer.control,
      guest: inner,
      gone: () => gone,
      async stop() {
        inner.close()
        await outer.stop()
      },
    }
  } catch (error) {
    await outer.stop()
    throw error
  }
}

async function inTime(ready: Promise<void>, qemu: Job): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no guest after ${INNER_BOOT_MS} ms: ${qemu.story}`)), INNER_BOOT_MS)
  })
  try {
    await Promise.race([ready, late])
  } finally {
    clearTimeout(timer)
  }
}

/**
 * QEMU with all that it loads, each under its own path: it looks for the rest beside where it lies
 * itself.
 */
function qemuEntries(): Entry[] {
  const { stdout } = spawnSync('sh', ['-c', 'command -v qemu-system-x86_64'], { encoding: 'utf8' })
  const qemu = realpathSync(stdout.trim())
  const entries = programEntries(qemu)
  // the accelerator is a library that QEMU loads by itself: it lies in a folder beside the
  // libraries that it links
  const folders = new Set(librariesOf(qemu).map((library) => join(dirname(library), 'qemu')))
  const modules = [...folders, ...[...folders].map((folder) => join('/usr', folder))]
    .filter((folder) => existsSync(folder))
    .flatMap((folder) => readdirSync(folder).map((name) => join(folder, name)))
    .filter((path) => /\/accel-tcg-[^/]+\.so$/.test(path))
  const firmware = FIRMWARE.map((name) => {
    const found = FIRMWARE_FOLDERS.map((folder) => join(folder, name)).find((path) => existsSync(path))
    if (found === undefined) throw new BedError(`there is no ${name} in ${FIRMWARE_FOLDERS.join(' or ')}`)
    return found
  })
  return [...entries, ...[...modules, ...firmware].flatMap(sameEntries)]
}

function innerEntries(bed: Bed, app: string): Entry[] {
  const initramfs = Buffer.concat([readFileSync(bed.base), ownArchive(['control', 'serial'], app, [])])
  return [
    { path: 'inner' },
    { path: 'inner/kernel', content: readFileSync(bed.kernel) },
    { path: 'inner/archive', content: initramfs },
  ]
}

/** Without KVM (an older QEMU outside) the inner guest works as well, several times slower. */
function innerArguments(): string[] {
  return [
    ...MACHINE,
    ...['-accel', 'kvm', '-accel', 'tcg', '-cpu', PROCESSOR, '-m', String(INNER_MIB)],
    ...['-kernel', '/inner/kernel', '-initrd', '/inner/archive', '-append', `'${KERNEL_LINE} quiet'`],
    ...['-chardev', 'stdio,id=console,signal=off', '-device', 'isa-serial,chardev=console,index=0'],
    ...['-device', 'virtio-serial-pci,max_ports=3'],
    ...['-chardev', 'pipe,id=control,path=/dev/virtio-ports/inner'],
    ...['-device', 'virtserialport,chardev=control,name=control'],
    ...['-chardev', 'null,id=serial', '-device', 'virtserialport,chardev=serial,name=serial'],
    ...['-device', `vhost-vsock-pci,guest-cid=${INNER_CID}`],
  ]
}
