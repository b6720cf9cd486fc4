/**
 * A small session that uses everything once, to be cut anywhere: a pipe that is echoed, a file that
 * is written and one that is read, a connection that is forwarded and ended half by half, a close.
 * Each step checks its own promise: what ended well is whole, what was confirmed is there, what
 * failed has a code of the table.
 */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { filesystem, filesystemClient } from '../../protocols/filesystem.ts'
import { tcpConnect, tcpConnection } from '../../protocols/tcp-connection.ts'
import { connect, serve, type Limits, type Server, type Trunk, type TrunkError } from '../../src/index.ts'
import { isKnownCode } from '../../src/contracts/errors.ts'
import { eventually } from '../helpers/eventually.ts'
import { loopbackServer, textOf, type LoopbackServer } from '../helpers/loopback.ts'
import { collect, echo, pattern } from '../helpers/protocols.ts'
import { temporaryFolder } from '../protocols/filesystem/served.ts'

const SAID = pattern(40)
const OLD = pattern(30, 7)
const NEW = pattern(70, 90)
const READ = pattern(80, 200)
const REQUEST_BYTES = 24
const ANSWER = 'the whole of the answer'
/** Far above what a run takes on a busy machine: what hangs is told from what is slow. */
const SETTLES_MS = 20_000

/** What a run did: `done`, or the code of the step that failed. */
export interface Run {
  /** The first failure's code; undefined where all went well. */
  readonly code: string | undefined
  /** Steps that went well. */
  readonly steps: number
}

/** The served side, used by every run. */
export class RecordedPeer {
  readonly folder: string
  readonly #server: Server
  readonly #target: LoopbackServer
  /** Ends that came too early at the forwarded connection's target. */
  readonly #wrong: string[] = []
  /** Codes of sessions and handlers, as the serving side saw them. */
  readonly codes: Map<string, number> = new Map()

  private constructor(folder: string, server: Server, target: LoopbackServer, wrong: string[]) {
    this.folder = folder
    this.#server = server
    this.#target = target
    this.#wrong = wrong
  }

  static async start(t: TestContext, at: string, limits: Partial<Limits> = {}): Promise<RecordedPeer> {
    const folder = temporaryFolder(t)
    writeFileSync(join(folder, 'read'), READ)
    const wrong: string[] = []
    const target = await loopbackServer((socket) => {
      answer(socket, wrong)
    })
    const server = await serve(at, {
      protocols: [echo, filesystem({ root: folder }), tcpConnection({ allow: [`127.0.0.1:${target.port}`] })],
      limits,
    })
    const peer = new RecordedPeer(folder, server, target, wrong)
    // a test that fails must not leave it listening: its file would not end
    t.after(() => peer.close())
    void peer.#watch()
    return peer
  }

  get address(): string {
    return this.#server.address
  }

  async #watch(): Promise<void> {
    for await (const trunk of this.#server) {
      trunk.closed.catch((error: unknown) => {
        const { code } = error as TrunkError
        this.codes.set(code, (this.codes.get(code) ?? 0) + 1)
      })
    }
  }

  /** One session through `address`; `name` is its own file's. */
  async run(address: string, name: string, limits: Partial<Limits> = {}): Promise<Run> {
    const path = join(this.folder, name)
    writeFileSync(path, OLD)
    const result = await settles(this.#steps(address, name, limits), `run ${name}`)
    return result
  }

  async #steps(address: string, name: string, limits: Partial<Limits>): Promise<Run> {
    let steps = 0
    let trunk: Trunk | undefined
    try {
      trunk = await connect(address, { limits })
      for (const step of [said, wrote, read, forwarded]) {
        await step(trunk, { name, folder: this.folder, port: this.#target.port })
        steps++
      }
      await trunk.close()
      await trunk.closed
      return { code: undefined, steps: steps + 1 }
    } catch (error) {
      const code = codeOf(error)
      // what failed has ended: the close of what is left settles, whatever it says
      if (trunk !== undefined) {
        await Promise.allSettled([trunk.close()])
        await trunk.closed.catch(codeOf)
      }
      return { code, steps }
    }
  }

  /**
   * After the runs: every session has ended, each file is what it was or what was written, no
   * temporary one is left.
   */
  async assertSound(names: readonly string[]): Promise<void> {
    await eventually(() => this.#server.trunks.size === 0, 'the server’s sessions have ended', SETTLES_MS)
    await eventually(() => this.#target.sockets.every((socket) => socket.destroyed), 'no connection is left')
    assert.deepEqual(this.#wrong, [])
    for (const code of this.codes.keys()) assert.ok(isKnownCode(code), code)
    for (const name of names) {
      const bytes = readFileSync(join(this.folder, name))
      assert.ok(bytes.equals(OLD) || bytes.equals(NEW), `${name} has ${bytes.byteLength} bytes, neither old nor new`)
    }
    const known = new Set(['read', ...names])
    await eventually(() => readdirSync(this.folder).every((name) => known.has(name)), 'no temporary file is left')
  }

  async close(): Promise<void> {
    await this.#server.close()
    this.#target.close()
  }
}

interface Place {
  readonly name: string
  readonly folder: string
  readonly port: number
}

async function said(trunk: Trunk): Promise<void> {
  const pipe = await trunk.open('echo')
  await pipe.write(SAID)
  await pipe.closeWrite()
  assert.deepEqual(await collect(pipe.source), SAID)
  await pipe.close()
}

async function wrote(trunk: Trunk, { name, folder }: Place): Promise<void> {
  // the disk's own word takes its time, and is not what is tested here
  const { bytes } = await filesystemClient(trunk).write(name, NEW, { durable: false })
  assert.equal(bytes, NEW.byteLength)
  assert.deepEqual(readFileSync(join(folder, name)), NEW)
}

async function read(trunk: Trunk): Promise<void> {
  assert.deepEqual(await collect(filesystemClient(trunk).read('read')), READ)
}

async function forwarded(trunk: Trunk, { name, port }: Place): Promise<void> {
  const pipe = await tcpConnect(trunk, { host: '127.0.0.1', port })
  await pipe.write(Buffer.from(name.padEnd(REQUEST_BYTES)))
  await pipe.closeWrite()
  assert.equal(await textOf(pipe.source), ANSWER)
  await pipe.close()
}

/**
 * The forwarded connection's target: it answers at the request's end, and a request that ends is
 * whole.
 */
function answer(socket: Socket, wrong: string[]): void {
  let request = ''
  socket.on('data', (bytes: Buffer) => (request += bytes.toString()))
  socket.on('end', () => {
    if (request.length !== REQUEST_BYTES) wrong.push(`a clean end after ${request.length} bytes`)
    socket.end(ANSWER)
  })
}

/**
 * An error's code, which is of the table; anything else is thrown on: it is the test's failure, or
 * a bug.
 */
function codeOf(error: unknown): string {
  const { code } = error as TrunkError
  if (typeof code !== 'string' || !isKnownCode(code)) throw error
  return code
}

async function settles<T>(promise: Promise<T>, what: string): Promise<T> {
  let over = false
  void promise.then(
    () => (over = true),
    () => (over = true),
  )
  await eventually(() => over, `${what} settles`, SETTLES_MS)
  return await promise
}
