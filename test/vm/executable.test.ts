/**
 * The command line as one executable file, serving in a guest that has no Node: over a virtio port
 * and a UART for the built command on this machine, over AF_VSOCK for itself.
 */
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { BINARY } from '../helpers/command-line.ts'
import { buildExecutable, type Executable } from '../helpers/executable.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'
import { Guest, GUEST_SERIAL, GUEST_UART } from './bed/guest.ts'
import { run, thisMachine, type Job, type Machine } from './bed/job.ts'
import { prepareBed } from './bed/prepare.ts'

const KiB = 1024
/** Where the guest's executable and its files are. */
const IN_GUEST = '/app/trunkline'
const FILES = '/tmp/files'
const WEB_PORT = 8080
const WORDS = 'words of the guest'
const VSOCK_PORT = 5000
/** The address of AF_VSOCK's loopback. */
const CID_LOCAL = 1

/** Who uses what the guest serves. */
interface User {
  readonly machine: Machine
  readonly trunkline: string
  /** A folder of its own, with a file `sent`. */
  readonly folder: string
  readonly sha256: (path: string) => Promise<string>
  readonly fetch: (url: string) => Promise<string>
}

describe('the executable in a guest without Node', () => {
  let executable: Executable
  let guest: Guest
  const scratch = temporaryFolder()

  before(async () => {
    executable = await buildExecutable()
    guest = await Guest.boot({ bed: await prepareBed(), app: dirname(executable.path), memoryMiB: 1536 })
    const { control } = guest
    // the libraries that Node needs, which are those of the executable, stay
    await run(control, 'rm $(readlink -f /bin/node) /bin/node')
    assert.notEqual((await control.start('node --version').ended()).status, 0)
    await run(control, `mkdir -p ${FILES} /tmp/web`)
    await run(control, `sh -c 'echo ${WORDS} > /tmp/web/index.html'`)
    control.start(`httpd -f -p 127.0.0.1:${WEB_PORT} -h /tmp/web`)
  })

  after(async () => {
    // undefined where they were not made
    await (guest as Guest | undefined)?.stop()
    ;(executable as Executable | undefined)?.remove()
  })

  /** This machine, with the built command, and a file of `bytes` to send. */
  function host(bytes: number): User {
    const folder = join(scratch, String(bytes))
    mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, 'sent'), randomBytes(bytes))
    return {
      machine: thisMachine(folder),
      trunkline: `${process.execPath} ${BINARY}`,
      folder,
      sha256: (path) => Promise.resolve(createHash('sha256').update(readFileSync(path)).digest('hex')),
      fetch: async (url) => await (await fetch(url)).text(),
    }
  }

  /** The guest itself, with the executable. */
  async function itself(bytes: number): Promise<User> {
    const { control: machine } = guest
    const folder = '/tmp/user'
    await run(machine, `mkdir -p ${folder}`)
    await run(machine, `dd if=/dev/urandom of=${folder}/sent bs=1024 count=${bytes / KiB}`)
    return {
      machine,
      trunkline: IN_GUEST,
      folder,
      sha256: async (path) => (await run(machine, `sha256sum ${path}`)).slice(0, 64),
      fetch: async (url) => await run(machine, `wget -q -O - ${url}`),
    }
  }

  /**
   * Lists, copies both ways and forwards a connection, over what the guest serves at `at` and
   * `user` dials at `to`.
   */
  async function works(at: string, to: string, user: User): Promise<void> {
    const { machine, trunkline, folder } = user
    const serving = guest.control.start(`env -i ${IN_GUEST} serve ${at} --fs ${FILES} --connect any`)
    try {
      assert.match(await serving.line(), /^(serial|vsock):/)
      await run(machine, `${trunkline} cp --to ${to} ${folder}/sent :/kept`)
      assert.equal(await run(machine, `${trunkline} ls --to ${to} :/`), 'kept')
      await run(machine, `${trunkline} cp --to ${to} :/kept ${folder}/back`)
      const [kept] = (await run(guest.control, `sha256sum ${FILES}/kept`)).split(' ')
      assert.equal(kept, await user.sha256(join(folder, 'sent')))
      assert.equal(kept, await user.sha256(join(folder, 'back')))
      await forwards(user, to)
    } finally {
      await ended(serving)
      await run(guest.control, `rm -f ${FILES}/kept`)
    }
  }

  async function forwards({ machine, trunkline, fetch: get }: User, to: string): Promise<void> {
    const forwarding = machine.start(`${trunkline} forward --to ${to} -L 127.0.0.1:0:127.0.0.1:${WEB_PORT}`)
    try {
      const said = await forwarding.line()
      const [, port] = /127\.0\.0\.1:(\d+)/.exec(said) ?? []
      assert.ok(port !== undefined, said)
      assert.equal((await get(`http://127.0.0.1:${port}/`)).trimEnd(), WORDS)
    } finally {
      await ended(forwarding)
    }
  }

  async function ended(job: Job): Promise<void> {
    job.kill()
    await job.ended()
  }

  it('serves over a virtio port, by its own addon [R-541]', async () => {
    await works(`serial://${GUEST_SERIAL}`, `serial+unix://${guest.socket('serial')}`, host(4096 * KiB))
  })

  it('serves over a UART, by serialport’s addon [R-542]', async () => {
    await works(`serial://${GUEST_UART}`, `serial+unix://${guest.socket('uart')}`, host(64 * KiB))
  })

  it('serves and dials over AF_VSOCK [R-543]', async () => {
    await works(`vsock://any:${VSOCK_PORT}`, `vsock://${CID_LOCAL}:${VSOCK_PORT}`, await itself(4096 * KiB))
  })
})
