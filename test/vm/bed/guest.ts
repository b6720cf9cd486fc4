/**
 * A guest: QEMU, by KVM where that boots one and else emulated (accelerator.ts), a console, a
 * virtio port for control, and the two lines under test, a virtio port and a UART, each with a unix
 * socket on this side. QEMU ends with this process, however that ends: the kernel sees to it.
 * Everything else of a guest is in one temporary folder.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { appendFileSync, constants, copyFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { accelerator, TRIAL_MS, type Accelerator } from './accelerator.ts'
import { Control } from './control.ts'
import { archive, folderEntries, type Entry } from './cpio.ts'
import { BedError } from './debian.ts'
import { dial } from './dial.ts'
import type { Bed } from './prepare.ts'
import { Qmp } from './qmp.ts'

/** How the guest calls the lines under test. */
export const GUEST_SERIAL = '/dev/virtio-ports/serial'
export const GUEST_UART = '/dev/ttyS1'

/**
 * What every guest's kernel is told. The console is quiet, root is memory, what only costs time in
 * an emulator is left out, and it does not try whether the timer ticks: an emulator that the
 * machine leaves no time fails that, and the kernel stops ("IO-APIC + timer doesn't work!").
 */
export const KERNEL_LINE: string = [
  'console=ttyS0',
  'panic=-1',
  'rootfstype=ramfs',
  'tsc=reliable',
  'mitigations=off',
  'random.trust_cpu=on',
  'cryptomgr.notests',
  'no_timer_check',
].join(' ')
/** What every QEMU here is told, the inner one too. */
export const MACHINE: readonly string[] = [
  '-nodefaults',
  '-no-user-config',
  '-display none',
  '-no-reboot',
  '-machine pc,usb=off,vmport=off',
].flatMap((option) => option.split(' '))

/** As old as node can bear: what it lacks need not be emulated. */
export const PROCESSOR = 'Nehalem,+rdrand'

/** Longest time from QEMU's start to a guest that takes commands. */
const BOOT_MS = 300_000
/** How much of the console is kept for a message. */
const CONSOLE_BYTES = 64 * 1024
/** Longest path of a unix socket. */
const MAX_SOCKET_PATH = 107

export interface GuestOptions {
  readonly bed: Bed
  /** A folder of this machine that becomes /app, the folder in which commands run. */
  readonly app?: string
  /** Further files. */
  readonly files?: readonly Entry[]
  /** Name of a further virtio port, /dev/virtio-ports/NAME, with a socket here. */
  readonly port?: string
  /** @default 1024 */
  readonly memoryMiB?: number
  /** @default 1 */
  readonly processors?: number
  /**
   * What kind they are, as QEMU names it. @default {@link PROCESSOR} where it is emulated, else
   * this machine's
   */
  readonly processor?: string
  /** @default what boots a guest on this machine */
  readonly accelerator?: Accelerator
  /** Further arguments of QEMU. */
  readonly devices?: readonly string[]
  /** Longest time from QEMU's start to a guest that takes commands. @default 300 s */
  readonly bootMs?: number
  /** Shows the console on stderr, with the kernel's messages. */
  readonly verbose?: boolean
}

export class Guest {
  /** Runs commands in it. */
  readonly control: Control
  readonly qmp: Qmp
  readonly #qemu: Qemu

  private constructor(qemu: Qemu, control: Control, qmp: Qmp) {
    this.#qemu = qemu
    this.control = control
    this.qmp = qmp
  }

  /** Boots a guest; resolves when it takes commands. */
  static async boot(options: GuestOptions): Promise<Guest> {
    const accel = options.accelerator ?? (await accelerator(() => Guest.#tryKvm(options.bed)))
    const qemu = new Qemu({ ...options, accelerator: accel })
    try {
      const qmp = new Qmp(await dial(qemu.socket('qmp'), () => qemu.failure))
      await qmp.start()
      const control = new Control(await dial(qemu.socket('control'), () => qemu.failure))
      await qemu.inTime(control.ready)
      qemu.dropArchive()
      return new Guest(qemu, control, qmp)
    } catch (error) {
      await qemu.stop()
      throw error
    }
  }

  /** Boots one by KVM, for as long as that takes, and stops it. */
  static async #tryKvm(bed: Bed): Promise<void> {
    const guest = await Guest.boot({ bed, accelerator: 'kvm', memoryMiB: 512, bootMs: TRIAL_MS })
    await guest.stop()
  }

  /**
   * This side's socket of the virtio port under test (`serial`), of the UART (`uart`), or of the
   * further port.
   */
  readonly socket = (name: string): string => this.#qemu.socket(name)

  /** Ends the guest at once; nothing of it is left. */
  async stop(): Promise<void> {
    this.control.close()
    this.qmp.close()
    await this.#qemu.stop()
  }
}

function portsOf(further: string | undefined): string[] {
  return ['control', 'serial', ...(further === undefined ? [] : [further])]
}

/**
 * What lies behind the shared archive: the names of the virtio ports, the application, further
 * files.
 */
export function ownArchive(ports: readonly string[], app: string | undefined, files: readonly Entry[]): Buffer {
  const named: Entry = { path: 'etc/ports', content: `${ports.join('\n')}\n` }
  return Buffer.concat(archive([named, ...(app === undefined ? [] : folderEntries(app, 'app')), ...files]))
}

/**
 * A signal's end is an end like any other: what is removed at the process's exit is removed then,
 * too.
 */
function exitOnSignals(): void {
  for (const [signal, number] of [
    ['SIGHUP', 1],
    ['SIGINT', 2],
    ['SIGTERM', 15],
  ] as const) {
    if (process.listenerCount(signal) === 0) process.once(signal, () => process.exit(128 + number))
  }
}

class Qemu {
  readonly #folder = mkdtempSync(join(tmpdir(), `trunkline-vm-${process.pid}-`))
  readonly #child: ChildProcess
  readonly #exit: Promise<Error>
  readonly #onExit: () => void
  readonly #bootMs: number
  #console = ''
  #failure: Error | undefined

  constructor(options: GuestOptions) {
    this.#bootMs = options.bootMs ?? BOOT_MS
    this.#onExit = () => {
      this.#child.kill('SIGKILL')
      rmSync(this.#folder, { recursive: true, force: true })
    }
    if (this.socket('control').length > MAX_SOCKET_PATH) {
      rmSync(this.#folder, { recursive: true })
      throw new BedError(`the temporary folder's path is too long for a unix socket: set TMPDIR`)
    }
    this.#writeArchive(options)
    const args = ['--pdeathsig', 'KILL', 'qemu-system-x86_64', ...this.#arguments(options)]
    this.#child = spawn('setpriv', args, { stdio: ['ignore', 'pipe', 'pipe'] })
    process.once('exit', this.#onExit)
    exitOnSignals()
    for (const output of [this.#child.stdout, this.#child.stderr]) {
      output?.setEncoding('utf8').on('data', (text: string) => {
        this.#console = (this.#console + text).slice(-CONSOLE_BYTES)
        if (options.verbose === true) process.stderr.write(text)
      })
    }
    this.#exit = once(this.#child, 'close').then(
      () => (this.#failure = new Error(`QEMU has ended; the console:\n${this.#console}`)),
      (error: unknown) => (this.#failure = new Error('QEMU did not start', { cause: error })),
    )
  }

  /** Why there is no guest any more. */
  get failure(): Error | undefined {
    return this.#failure
  }

  socket(name: string): string {
    return join(this.#folder, name)
  }

  /** Waits for a part of the boot. */
  async inTime(part: Promise<void>): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(
        () => reject(new Error(`no guest after ${this.#bootMs} ms; the console:\n${this.#console}`)),
        this.#bootMs,
      )
    })
    const gone = this.#exit.then((failure) => {
      throw failure
    })
    try {
      await Promise.race([part, late, gone])
    } finally {
      clearTimeout(timer)
    }
  }

  /** The guest has unpacked it: whatever happens to us, nothing large is left in the folder. */
  dropArchive(): void {
    rmSync(this.socket('archive'))
  }

  async stop(): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.#exit
    process.off('exit', this.#onExit)
    rmSync(this.#folder, { recursive: true, force: true })
  }

  #writeArchive({ bed, app, files = [], port }: GuestOptions): void {
    const path = this.socket('archive')
    copyFileSync(bed.base, path, constants.COPYFILE_FICLONE)
    appendFileSync(path, ownArchive(portsOf(port), app, files))
  }

  #arguments(options: GuestOptions): string[] {
    const { bed, port, memoryMiB = 1024, processors = 1, verbose = false, devices = [] } = options
    const isKvm = options.accelerator === 'kvm'
    const { processor = isKvm ? 'host' : PROCESSOR } = options
    const socket = (id: string) => ['-chardev', `socket,id=${id},path=${this.socket(id)},server=on,wait=off`]
    const virtioPort = (id: string) => [...socket(id), '-device', `virtserialport,chardev=${id},name=${id}`]
    return [
      ...MACHINE,
      ...[
        '-accel',
        isKvm ? 'kvm' : 'tcg,thread=multi',
        '-cpu',
        processor,
        '-smp',
        String(processors),
        '-m',
        String(memoryMiB),
      ],
      ...['-kernel', bed.kernel, '-initrd', this.socket('archive')],
      ...['-append', `${KERNEL_LINE} ${verbose ? 'loglevel=7' : 'quiet'}`],
      ...['-qmp', `unix:${this.socket('qmp')},server=on,wait=off`],
      ...['-chardev', 'stdio,id=console,signal=off', '-device', 'isa-serial,chardev=console,index=0'],
      ...[...socket('uart'), '-device', 'isa-serial,chardev=uart,index=1'],
      // the first port of a controller is for a console, so there is one more than we name
      ...['-device', 'virtio-serial-pci,max_ports=4'],
      ...portsOf(port).flatMap(virtioPort),
      ...devices,
    ]
  }
}
