/**
 * Programs whose sessions ended in every way there is, over every kind of line: each gets a code,
 * says nothing on stderr (no warning, no unhandled rejection), and ends by itself within a second
 * of the moment at which it is through.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { connect, serve, type Server } from '../../src/index.ts'
import { childProgram, type ChildProgram } from '../helpers/child-program.ts'
import { eventually } from '../helpers/eventually.ts'
import { faultProxy, proxyTarget, type FaultProxy } from '../helpers/fault-proxy.ts'
import { freePort } from '../helpers/loopback.ts'
import { echo } from '../helpers/protocols.ts'
import { ptyPair } from '../helpers/pty.ts'
import { noStrayRejections } from '../helpers/stray-rejections.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'
import { typeScript } from '../helpers/typescript.ts'

noStrayRejections()

const EXIT_MS = 1_000
const SETTLES_MS = 30_000
const LIMITS = { keepaliveMs: 500, keepaliveTimeoutMs: 1_000 }
const OVER_STDIO = typeScript(fileURLToPath(new URL('../fixtures/echo-over-stdio.ts', import.meta.url)))
const EXEC = `exec:${[process.execPath, ...OVER_STDIO].join(' ')}`

/** For the unix sockets, each with a name of its own. */
const folder = temporaryFolder()
let sockets = 0
const socketPath = (): string => join(folder, String(sockets++))

type Kind = 'tcp' | 'unix' | 'exec' | 'serial'

/** A program that does `body`, and says at its end how long that was after it was through. */
function program(t: TestContext, body: string): ChildProgram {
  const running = childProgram(`
    import { writeSync } from 'node:fs'
    let throughAt = Infinity
    process.on('exit', () => writeSync(1, 'left ' + Math.round(performance.now() - throughAt) + '\\n'))
    const code = (promise) => promise.then(() => 'well', (error) => error.code ?? String(error))
    ${body}
    throughAt = performance.now()`)
  t.after(() => {
    running.kill('SIGKILL')
  })
  return running
}

/** It ends by itself, in time, in silence; gives the lines that it printed before. */
async function leaves(running: ChildProgram): Promise<string[]> {
  let exited = false
  void running.exited.then(() => (exited = true))
  await eventually(() => exited, 'the program ends', SETTLES_MS)
  assert.deepEqual([await running.exited, running.errors()], [0, ''])
  const [, left = ''] = /^left (\d+)$/.exec(running.lines.at(-1) ?? '') ?? []
  assert.ok(left !== '' && Number(left) < EXIT_MS, `it left ${left} ms after it was through`)
  return running.lines.slice(0, -1)
}

/**
 * A program with one session and one open pipe, which waits for the session's end, tells its code,
 * and closes what is closed already.
 */
const WAITS = (address: string): string => `
  const trunk = await connect(${JSON.stringify(address)}, { limits: ${JSON.stringify(LIMITS)} })
  const pipe = await trunk.open('echo')
  const reading = code(pipe.source.next())
  console.log('open ' + process.pid)
  console.log(await code(trunk.closed), await reading, await code(trunk.ping()))
  await trunk.close()`

/** A served address, by this process. */
async function served(t: TestContext, kind: Kind): Promise<{ readonly address: string; readonly server?: Server }> {
  if (kind === 'exec') return { address: EXEC }
  const place = await places(t, kind)
  const server = await serve(place.serve, { protocols: [echo] })
  t.after(() => server.close())
  return { server, address: kind === 'tcp' ? server.address : place.connect }
}

/** Where a line of this kind is served and reached; nobody is there yet. */
async function places(t: TestContext, kind: Exclude<Kind, 'exec'>): Promise<{ serve: string; connect: string }> {
  if (kind === 'tcp') {
    const address = `tcp://127.0.0.1:${await freePort()}`
    return { serve: address, connect: address }
  }
  if (kind === 'unix') {
    const address = `unix://${socketPath()}`
    return { serve: address, connect: address }
  }
  const pair = await ptyPair()
  t.after(() => pair.close())
  return { serve: `serial://${pair.far}`, connect: `serial://${pair.near}` }
}

async function proxied(t: TestContext, kind: 'tcp' | 'unix'): Promise<FaultProxy> {
  const { address } = await served(t, kind)
  const at = kind === 'tcp' ? {} : { at: socketPath() }
  const proxy = await faultProxy(proxyTarget(address), at)
  t.after(() => {
    proxy.close()
  })
  return proxy
}

async function isOpen(running: ChildProgram): Promise<number> {
  await eventually(() => running.lines.length > 0, `it is open ${running.errors()}`, SETTLES_MS)
  return Number(running.lines[0]?.replace('open ', ''))
}

/** The three codes that {@link WAITS} prints. */
async function codes(running: ChildProgram): Promise<string[]> {
  const [, line = ''] = await leaves(running)
  return line.split(' ')
}

/** The process below `pid` that runs `what`. */
function childOf(pid: number, what: string): number {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').map(Number)
  for (const child of children) {
    const words = readFileSync(`/proc/${child}/cmdline`, 'utf8')
    if (words.includes(what)) return child
  }
  throw new Error(`no child of ${pid} runs ${what}`)
}

const KINDS = ['tcp', 'unix', 'exec', 'serial'] as const
const GONE = /^ERR_(LINK_LOST|LINK_RESET|FRAME_TRUNCATED)$/

describe(
  'a program is through, says nothing, and is gone within a second',
  { concurrency: 3, timeout: 200_000 },
  () => {
    for (const kind of KINDS) {
      it(`after a clean close (${kind}) [R-264]`, async (t) => {
        const { address } = await served(t, kind)
        const running = program(
          t,
          `const trunk = await connect(${JSON.stringify(address)})
         const pipe = await trunk.open('echo', undefined, { body: Buffer.from('all of it') })
         let text = ''
         for await (const bytes of pipe.source) text += Buffer.from(bytes.subarray()).toString()
         await pipe.close()
         await trunk.close()
         console.log(text)`,
        )
        assert.deepEqual(await leaves(running), ['all of it'])
      })

      it(`when nobody is there (${kind}) [R-265]`, async (t) => {
        const address = kind === 'exec' ? 'exec:false' : (await places(t, kind)).connect
        const running = program(
          t,
          `console.log(await code(connect(${JSON.stringify(address)}, { limits: { helloTimeoutMs: 1_000 } })))`,
        )
        const expected = { tcp: /REFUSED/, unix: /^ERR_CONNECT_/, exec: /^ERR_LINK_/, serial: /^ERR_HELLO_TIMEOUT$/ }[
          kind
        ]
        assert.match((await leaves(running)).join(), expected)
      })

      it(`that gives reconnecting up: while it waits, and with a session (${kind}) [R-266]`, async (t) => {
        const nobody = kind === 'exec' ? 'exec:false' : (await places(t, kind)).connect
        const { address } = await served(t, kind)
        const running = program(
          t,
          `const giveUp = new AbortController()
         const limits = { helloTimeoutMs: 500, reconnectMinMs: 10, reconnectMaxMs: 60_000 }
         console.log(await code(connect(${JSON.stringify(nobody)}, { reconnect: true, limits, signal: giveUp.signal, onConnection({ state, attempt }) {
           if (state === 'waiting' && attempt > 1) giveUp.abort(Object.assign(new Error('enough'), { code: 'ENOUGH' }))
         } })))
         const trunk = await connect(${JSON.stringify(address)}, { reconnect: true })
         const opening = await trunk.open('echo')
         trunk.abort(new Error('enough'))
         console.log(await code(trunk.closed), await code(opening.source.next()))`,
        )
        const [first = '', second = ''] = await leaves(running)
        assert.match(first, /^(ENOUGH|ERR_ABORTED)$/)
        assert.match(second, /^ERR_(SESSION_)?ABORTED ERR_(SESSION_)?ABORTED$/)
      })
    }

    for (const kind of ['tcp', 'unix'] as const) {
      for (const how of ['end', 'reset'] as const) {
        it(`after a cut by ${how} (${kind}) [R-267]`, async (t) => {
          const proxy = await proxied(t, kind)
          const running = program(t, WAITS(proxy.address))
          await isOpen(running)
          proxy.cut(how)
          for (const code of await codes(running)) assert.match(code, GONE)
        })
      }

      it(`after a black hole (${kind}) [R-267]`, async (t) => {
        const proxy = await proxied(t, kind)
        const running = program(t, WAITS(proxy.address))
        await isOpen(running)
        proxy.blackHole()
        assert.deepEqual(new Set(await codes(running)), new Set(['ERR_KEEPALIVE_TIMEOUT']))
      })
    }

    for (const kind of KINDS) {
      it(`after its peer was killed (${kind}) [R-268]`, async (t) => {
        let guest: ChildProgram | undefined
        let address = EXEC
        if (kind !== 'exec') {
          const place = await places(t, kind)
          guest = program(
            t,
            `import { echo } from './test/helpers/protocols.ts'
           const server = await serve(${JSON.stringify(place.serve)}, { protocols: [echo] })
           console.log(server.address)
           for await (const trunk of server) trunk.closed.catch(() => {})`,
          )
          await eventually(() => guest?.lines.length === 1, 'it serves', SETTLES_MS)
          address = place.connect
        }
        const running = program(t, WAITS(address))
        const pid = await isOpen(running)
        if (guest === undefined) process.kill(childOf(pid, 'echo-over-stdio'), 'SIGKILL')
        else guest.kill('SIGKILL')
        const allowed = kind === 'serial' ? /^ERR_KEEPALIVE_TIMEOUT$/ : /^ERR_(LINK_LOST|LINK_RESET|LINK_FAILED)$/
        for (const code of await codes(running)) assert.match(code, allowed)
      })
    }

    for (const kind of ['tcp', 'unix', 'serial'] as const) {
      it(`that serves, and closes with idle clients (${kind}) [R-269]`, async (t) => {
        const place = await places(t, kind)
        const clients = kind === 'serial' ? 1 : 3
        const running = program(
          t,
          `import { echo } from './test/helpers/protocols.ts'
         const server = await serve(${JSON.stringify(place.serve)}, { protocols: [echo] })
         console.log('serves')
         let sessions = 0
         for await (const trunk of server) {
           trunk.closed.catch((error) => console.log(error.code))
           if (++sessions === ${clients}) break
         }
         await server.close()`,
        )
        await eventually(() => running.lines.includes('serves'), `it serves ${running.errors()}`, SETTLES_MS)
        const trunks = await Promise.all(Array.from({ length: clients }, () => connect(place.connect)))
        assert.deepEqual(await leaves(running), ['serves'])
        for (const trunk of trunks) await trunk.closed
      })
    }
  },
)
