/**
 * The snippets of docs/guide/transports/serial.md for libvirt, run by libvirt: from `virsh define`
 * to a forward of a guest's port that comes back after `destroy` and `start`, and, where trunkline
 * listens, after trunkline was started again. What the page says of the folder is run as it stands.
 */
import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { after, before, describe, it } from 'node:test'
import { freePort } from '../helpers/loopback.ts'
import { codeBlocks } from '../helpers/markdown.ts'
import { runCommand } from '../helpers/run-command.ts'
import { installedApp } from './bed/app.ts'
import { thisMachine, type Job, type Machine } from './bed/job.ts'
import { Libvirt } from './bed/libvirt.ts'
import { prepareBed } from './bed/prepare.ts'

const PAGE = 'docs/guide/transports/serial.md'
const PORT_NAME = 'org.trunkline.0'
const SOCKET = '/run/trunkline/vm.sock'
const TRUNKLINE = 'node node_modules/trunkline/dist/bin/trunkline.cjs'
/** What the guest says at its port, and which one that is. */
const WORD = 'from the guest'
const GUEST_PORT = 7000
/** A forward that is killed resets what it carries: no reason for the server to end. */
const SERVER = `require('net').createServer((s) => s.on('error', () => 0).end('${WORD}')).listen(${GUEST_PORT}, '127.0.0.1', () => console.log('listens'))`
/** Longest time from when both programs run in the guest to an answer through the forward. */
const ANSWER_MS = 120_000
/**
 * Each attempt costs the guest a refused pipe while it is not ready: a second between them leaves
 * it its processor.
 */
const RETRY_MS = 1000

const blocks = codeBlocks(PAGE)
const snippets = blocks.filter(({ info, text: xml }) => info === 'xml' && /<(channel|serial) type=/.test(xml))

describe('libvirt', () => {
  let libvirt: Libvirt
  let app: string

  before(async () => {
    libvirt = await Libvirt.start()
    app = await installedApp()
    // the first line of the page's two; the other is for the next boot of this machine
    const lines = blocks.flatMap(({ info, text: script }) => (info === 'sh' ? script.split('\n') : []))
    const making = lines.find((line) => line.startsWith('install -d'))
    assert.ok(making, 'the page says how the folder is made')
    const made = await runCommand({ cwd: '/', timeoutMs: 10_000 }, 'sh', ['-c', making])
    assert.equal(made.status, 0, made.output)
  })

  after(async () => {
    // undefined where it did not start
    await (libvirt as Libvirt | undefined)?.stop()
  })

  it('is told by the page of three kinds of line', () => {
    assert.deepEqual(
      snippets.map(({ text: xml }) => [/mode='(\w+)'/.exec(xml)?.[1], /<target type='([\w-]+)'/.exec(xml)?.[1]]),
      [
        ['bind', 'virtio'],
        ['bind', 'isa-serial'],
        ['connect', 'virtio'],
      ],
    )
  })

  for (const { text: xml } of snippets) {
    const listens = xml.includes("mode='connect'")
    const isUart = xml.includes('isa-serial')
    const name = `${isUart ? 'a UART' : 'a virtio port'} ${listens ? 'that connects to us' : 'with a socket of its own'}`
    const again = listens ? ', and after trunkline was started again' : ''
    it(`has a forward that comes back after destroy and start${again}, over ${name} [R-471]`, async () => {
      const ports = isUart ? [] : [PORT_NAME]
      const domain = await libvirt.define(await prepareBed(), xml, { ports, app })
      const host = thisMachine(app)
      const address = `serial+unix://${SOCKET}${listens ? '?listen&mode=0660&group=kvm' : ''}`
      const port = await freePort()
      const forward = () =>
        host.start(`${TRUNKLINE} forward --wait 300 --to '${address}' -L ${port}:127.0.0.1:${GUEST_PORT}`)
      const jobs: Job[] = [forward()]
      try {
        // where it listens, the socket has to be there before the machine
        if (listens) await jobs[0]!.line()
        await answer(port, [jobs[0]!, ...(await serveIn(await domain.start(), isUart))])
        await domain.destroy()
        const inGuest = await serveIn(await domain.start(), isUart)
        await answer(port, [jobs[0]!, ...inGuest])
        if (!listens) return
        jobs[0]!.kill()
        await jobs[0]!.ended()
        jobs.unshift(forward())
        await answer(port, [jobs[0]!, ...inGuest])
      } finally {
        jobs[0]?.kill()
        await domain.undefine()
      }
    })
  }
})

/**
 * The guest's side: something to be reached, and trunkline on the device. Resolves when both run.
 */
async function serveIn(guest: Machine, isUart: boolean): Promise<Job[]> {
  const device = isUart ? '/dev/ttyS1' : `/dev/virtio-ports/${PORT_NAME}`
  const reached = guest.start(`node -e "${SERVER}"`)
  assert.equal(await reached.line(), 'listens')
  const serving = guest.start(`${TRUNKLINE} serve serial://${device} --connect 127.0.0.1:${GUEST_PORT}`)
  assert.equal(await serving.line(), `serial://${device}`)
  return [reached, serving]
}

/**
 * Resolves when the forward gives the guest's word; where it does not, what each of `jobs` said is
 * shown.
 */
async function answer(port: number, jobs: readonly Job[]): Promise<void> {
  const deadline = performance.now() + ANSWER_MS
  for (let seen = ''; seen !== WORD; seen = await asked(port)) {
    if (performance.now() > deadline) {
      assert.fail(`no answer (${JSON.stringify(seen)}): ${jobs.map(({ story }) => story).join('\n')}`)
    }
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS))
  }
}

async function asked(port: number): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1' })
  try {
    return await text(socket)
  } catch {
    return '' // not yet: the forward, or the guest, is not there
  }
}
