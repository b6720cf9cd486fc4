/**
 * libvirt itself, as Debian has it: its daemons, started here where nobody runs them, and machines
 * that it defines, starts and destroys, emulated. QEMU runs as libvirt's own user, as it does for
 * everybody.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { appendFileSync, copyFileSync, existsSync, mkdtempSync, rmSync, writeFileSync, chmodSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runCommand } from '../../helpers/run-command.ts'
import { Control } from './control.ts'
import { installLibvirt } from './debian.ts'
import { dial } from './dial.ts'
import { KERNEL_LINE, ownArchive } from './guest.ts'
import type { Bed } from './prepare.ts'

const URI = 'qemu:///system'
const VIRSH_MS = 120_000
const DAEMON_MS = 30_000
const BOOT_MS = 300_000
const MEMORY_MIB = 768
/** The first that answers is used: a machine's own, or ours. */
const DAEMONS = ['virtlogd', 'libvirtd']

export class Libvirt {
  readonly #daemons: ChildProcess[] = []
  readonly #domains = new Set<Domain>()

  /** Resolves when libvirt answers. */
  static async start(): Promise<Libvirt> {
    installLibvirt()
    const libvirt = new Libvirt()
    if ((await ask('uri')).status === 0) return libvirt
    for (const name of DAEMONS) {
      const daemon = spawn('setpriv', ['--pdeathsig', 'TERM', name], { stdio: 'ignore' })
      libvirt.#daemons.push(daemon)
    }
    const deadline = performance.now() + DAEMON_MS
    while ((await ask('uri')).status !== 0) {
      if (performance.now() > deadline) throw new Error(`libvirtd does not answer after ${DAEMON_MS} ms`)
    }
    return libvirt
  }

  /**
   * Defines a machine with these devices of its own; `ports` are the names of its virtio ports that
   * its guest waits for.
   */
  async define(bed: Bed, devices: string, { ports, app }: { ports: readonly string[]; app: string }): Promise<Domain> {
    const domain = new Domain(bed, devices, ports, app)
    this.#domains.add(domain)
    await domain.define()
    return domain
  }

  async stop(): Promise<void> {
    for (const domain of this.#domains) await domain.undefine()
    for (const daemon of this.#daemons) {
      const exit = once(daemon, 'exit')
      daemon.kill('SIGTERM')
      await exit
    }
  }
}

export class Domain {
  readonly #name = `trunkline-${process.pid}-${domains++}`
  /** Not in a home: libvirt's user has to come in. */
  readonly #folder = mkdtempSync(join(tmpdir(), 'trunkline-libvirt-'))
  readonly #xml: string
  #control: Control | undefined

  constructor(bed: Bed, devices: string, ports: readonly string[], app: string) {
    chmodSync(this.#folder, 0o755)
    const archive = join(this.#folder, 'archive')
    copyFileSync(bed.kernel, join(this.#folder, 'kernel'))
    copyFileSync(bed.base, archive)
    appendFileSync(archive, ownArchive(['control', ...ports], app, []))
    this.#xml = domainXml(this.#name, this.#folder, devices)
  }

  async define(): Promise<void> {
    const file = join(this.#folder, 'domain.xml')
    writeFileSync(file, this.#xml)
    await virsh('define', file)
  }

  /** `virsh start`; resolves when the guest takes commands. */
  async start(): Promise<Control> {
    await virsh('start', this.#name)
    const socket = await dial(join(this.#folder, 'control.sock'), () => undefined)
    const control = (this.#control = new Control(socket))
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`no guest of libvirt's after ${BOOT_MS} ms`)), BOOT_MS)
    })
    try {
      await Promise.race([control.ready, late])
    } finally {
      clearTimeout(timer)
    }
    return control
  }

  /** `virsh destroy`: the plug is pulled. */
  async destroy(): Promise<void> {
    await virsh('destroy', this.#name)
    // not before: the guest powers off by itself when nobody holds its control port
    this.#control?.close()
    this.#control = undefined
  }

  async undefine(): Promise<void> {
    await ask('destroy', this.#name)
    this.#control?.close()
    await ask('undefine', this.#name)
    if (existsSync(this.#folder)) rmSync(this.#folder, { recursive: true })
  }
}

let domains = 0

function domainXml(name: string, folder: string, devices: string): string {
  return `<domain type='qemu'>
  <name>${name}</name>
  <memory unit='MiB'>${MEMORY_MIB}</memory>
  <os>
    <type arch='x86_64' machine='pc'>hvm</type>
    <kernel>${folder}/kernel</kernel>
    <initrd>${folder}/archive</initrd>
    <cmdline>${KERNEL_LINE} quiet</cmdline>
  </os>
  <features><acpi/></features>
  <cpu mode='custom'><model>Nehalem</model><feature policy='require' name='rdrand'/></cpu>
  <on_poweroff>destroy</on_poweroff>
  <on_reboot>destroy</on_reboot>
  <on_crash>destroy</on_crash>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <serial type='null'><target type='isa-serial' port='0'/></serial>
    <channel type='unix'>
      <source mode='bind' path='${folder}/control.sock'/>
      <target type='virtio' name='control'/>
    </channel>
    <memballoon model='none'/>
${devices}
  </devices>
</domain>
`
}

async function virsh(...args: string[]): Promise<void> {
  const { status, output } = await ask(...args)
  if (status !== 0) throw new Error(`virsh ${args.join(' ')} ended with ${String(status)}:\n${output}`)
}

async function ask(...args: string[]): Promise<{ status: number | null; output: string }> {
  return await runCommand({ cwd: '/', timeoutMs: VIRSH_MS }, 'virsh', ['-q', '-c', URI, ...args])
}
