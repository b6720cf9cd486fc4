/**
 * What a newcomer pastes, from the packed tarball in a project that `npm init -y` has just made:
 * the programs of the README and of docs/guide/start.md as `.mts` files, and the README's commands.
 * Only addresses, ports and folders are other ones.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { delimiter, join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { eventually } from '../helpers/eventually.ts'
import { codeBlocks } from '../helpers/markdown.ts'
import { packedConsumer, type Consumer } from '../helpers/packed-consumer.ts'
import { ROOT } from '../helpers/root.ts'

/** What `npx tsx` runs. */
const TSX = join(ROOT, 'node_modules/tsx/dist/cli.mjs')
const PROGRAM_MS = 90_000

interface Running {
  readonly said: () => string
  readonly ended: Promise<number | null>
  /** Until it has said `text`; fails with what it said where it ends before. */
  says(text: string): Promise<void>
  stop(): Promise<void>
}

/** A port of loopback that is free now. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

describe('what is pasted into a project that npm init -y has made', () => {
  let consumer: Consumer

  before(async () => {
    consumer = await packedConsumer()
  })

  after(() => {
    // undefined where packing failed
    ;(consumer as Consumer | undefined)?.remove()
  })

  function start(command: string, args: readonly string[], env: Record<string, string> = {}): Running {
    const path = `${join(consumer.folder, 'node_modules/.bin')}${delimiter}${process.env.PATH ?? ''}`
    const child = spawn(command, args, {
      cwd: consumer.folder,
      env: { ...process.env, PATH: path, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: PROGRAM_MS,
      killSignal: 'SIGKILL',
    })
    let said = ''
    for (const output of [child.stdout, child.stderr]) output.on('data', (chunk: Buffer) => (said += chunk.toString()))
    const ended = once(child, 'close').then(([status]) => status as number | null)
    let hasEnded = false
    void ended.then(() => (hasEnded = true))
    return {
      said: () => said,
      ended,
      async says(text) {
        await eventually(() => said.includes(text) || hasEnded, `${command} says ${text}`, PROGRAM_MS)
        assert.ok(said.includes(text), `${command} has ended and said: ${said}`)
      },
      async stop() {
        child.kill('SIGTERM')
        await ended
      },
    }
  }

  /** Runs a program of the user's in a file that is named as the pages say. */
  const program = (name: string, args: readonly string[] = [], env: Record<string, string> = {}): Running =>
    start(process.execPath, [TSX, name, ...args], env)

  it('is a CommonJS project: npm has written no other type', () => {
    const { type } = JSON.parse(readFileSync(join(consumer.folder, 'package.json'), 'utf8')) as { type?: string }
    assert.notEqual(type, 'module')
  })

  for (const page of ['README.md', 'docs/guide/start.md']) {
    for (const { text, place } of codeBlocks(page).filter(({ info }) => info === 'ts run')) {
      it(`runs: ${place}`, async () => {
        writeFileSync(join(consumer.folder, 'hello.mts'), text)
        const { ended, said } = program('hello.mts')
        assert.equal(await ended, 0, said())
        const expected =
          page === 'README.md'
            ? `${readFileSync(join(consumer.folder, 'package.json'), 'utf8')}0 ${process.version}\n`
            : 'there and back\n'
        assert.equal(said(), expected)
      })
    }
  }

  it('runs the two programs of docs/guide/start.md', async () => {
    const programs = codeBlocks('docs/guide/start.md').filter(({ info }) => info === 'ts')
    assert.equal(programs.length, 2)
    for (const [index, name] of ['guest.mts', 'host.mts'].entries())
      writeFileSync(join(consumer.folder, name), programs[index]!.text)
    mkdirSync(join(consumer.folder, 'share'))
    const port = String(await freePort())
    const guest = program('guest.mts', ['tcp://127.0.0.1:0', 'share', port])
    try {
      await guest.says('\n')
      const host = program('host.mts', ['package.json', port], { TRUNKLINE_TO: guest.said().trim() })
      assert.equal(await host.ended, 0, host.said())
      assert.match(host.said(), /^hello from the guest$/m)
      const [sent, arrived, back] = ['package.json', 'share/package.json', 'package.json.back'].map((path) =>
        readFileSync(join(consumer.folder, path), 'utf8'),
      )
      assert.equal(arrived, sent)
      assert.equal(back, sent)
    } finally {
      await guest.stop()
    }
  })

  it('runs the commands of the README, over TCP', async () => {
    const served = join(consumer.folder, 'srv')
    mkdirSync(join(served, 'logs'), { recursive: true })
    writeFileSync(join(served, 'logs/today.log'), 'all is well\n')
    const page = createServer((_request, response) => response.end('forwarded')).listen(0, '127.0.0.1')
    await once(page, 'listening')
    page.unref()
    const address = `tcp://127.0.0.1:${await freePort()}`
    const local = await freePort()
    const block = codeBlocks('README.md').find(({ info, text }) => info === 'sh' && text.includes('trunkline serve'))
    const lines = block!.text
      .replaceAll(/vsock:\/\/\w+:7000/g, address)
      .replace('--fs /srv', `--fs ${served}`)
      .replaceAll('127.0.0.1:5432', `127.0.0.1:${(page.address() as AddressInfo).port}`)
      .replace('-L 5432:', `-L ${local}:`)
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'))
    const [serve, to, copy, forward] = lines as [string, string, string, string]
    // the way out of the guest (forward -R) leads to the network: it is not run here
    assert.ok(lines.length >= 4, block!.text)
    const shell = (line: string): Running => start('sh', ['-c', `${to}\nexec ${line}`])

    const guest = shell(serve)
    let tunnel: Running | undefined
    try {
      await guest.says(address)
      // nobody waits for a guest that does not listen yet without --wait
      tunnel = shell(forward)
      const copying = shell(copy)
      assert.equal(await copying.ended, 0, copying.said())
      assert.equal(readFileSync(join(consumer.folder, 'logs/today.log'), 'utf8'), 'all is well\n')
      await tunnel.says('forwarding')
      assert.equal(await (await fetch(`http://127.0.0.1:${local}/`)).text(), 'forwarded')
    } finally {
      await Promise.all([guest.stop(), tunnel?.stop()])
      page.closeAllConnections()
      page.close()
    }
  })
})
