/** What the pipes of many peers can hold unread in a server, measured in its own process. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { connect, type Trunk } from '../../src/index.ts'
import { childProgram, firstLine } from '../helpers/child-program.ts'
import { keptAlive, steady } from '../helpers/eventually.ts'
import { outcome } from '../helpers/protocols.ts'
import { noStrayRejections } from '../helpers/stray-rejections.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

noStrayRejections()

const MIB = 2 ** 20
const BUDGET = 8 * MIB
const TRUNKS = 12
const PIPES = 100

/** A server that accepts pipes and never reads them, echoes others, and says what it holds. */
const SERVER = `
import { createBudgets } from './src/index.ts'
import { memoryHeld } from './test/helpers/memory-held.ts'
const any = () => undefined
const never = new Promise(() => undefined)
const stuck = defineProtocol({ name: 'stuck', parse: any, async handle({ accept }) { accept(); await never } })
const echo = defineProtocol({ name: 'echo', parse: any, async handle({ accept }) { const pipe = accept(); await pipe.sink(pipe) } })
const status = defineProtocol({ name: 'status', parse: any, async handle({ accept }) {
  const { used, max, refused, peers } = server.status().budgets.inboxBytes
  accept({ held: await memoryHeld(), used, max, refused, peers: peers.length })
} })
const budgets = createBudgets({ inboxBytes: ${BUDGET}, windowBytes: 0 })
const server = await serve(process.env.ADDRESS, { budgets, protocols: [stuck, echo, status] })
console.log(server.address)
`

interface Held {
  readonly held: number
  readonly used: number
  readonly max: number
  readonly refused: number
  readonly peers: number
}

describe('[R-700] the initial windows of many peers', { timeout: 60_000 }, () => {
  it('hold no more than there is for them when nobody reads, and a fair peer goes on', () =>
    keptAlive(async () => {
      const server = childProgram(SERVER, { ADDRESS: `unix://${join(temporaryFolder(), 'socket')}` })
      try {
        const address = await firstLine(server)
        await using asker = await connect(address)
        const status = async (): Promise<Held> => {
          const pipe = await asker.open('status')
          await pipe.closeWrite()
          return pipe.reply as Held
        }
        const before = await status()
        const greedy = await Promise.all(Array.from({ length: TRUNKS }, () => connect(address)))
        let refused = 0
        let sent = 0
        const filling = greedy.map(async (trunk) => {
          for (let at = 0; at < PIPES; at++) {
            const pipe = await trunk.open('stuck').catch(() => undefined)
            if (pipe === undefined) refused++
            else void outcome(pipe.write(FULL).then(() => sent++))
          }
        })
        await Promise.all(filling)
        await steady(() => sent)
        const full = await status()
        // what they were not refused is more than a half of what there is
        assert.ok(refused > 0 && full.used > BUDGET / 2, JSON.stringify(full))
        assert.ok(full.used <= BUDGET, JSON.stringify(full))
        assert.equal(full.refused, refused)
        assert.equal(full.max, BUDGET)
        // unread bytes are held at most twice, and 1 MiB a trunk (docs/guide/security.md)
        assert.ok(full.held - before.held < 2 * BUDGET + TRUNKS * MIB, `${before.held} ${JSON.stringify(full)}`)
        await using fair = await connect(address)
        await Promise.all(Array.from({ length: 16 }, () => echoed(fair)))
        await Promise.all(Array.from({ length: 4 }, () => echoed(asker)))
        for (const trunk of greedy) trunk.abort(new Error('enough'))
        await steadyAt(0, status)
      } finally {
        server.kill('SIGKILL')
        await server.exited
      }
    }))
})

const FULL = new Uint8Array(64 * 1024)

/** Sends what is more than a window to and fro. */
async function echoed(trunk: Trunk): Promise<void> {
  const pipe = await trunk.open('echo')
  const sending = pipe.write(FULL).then(() => pipe.closeWrite())
  let length = 0
  for await (const data of pipe.source) length += data.length
  await sending
  assert.equal(length, FULL.byteLength)
}

/** Asks until the pipes of dead trunks have given back what they had. */
async function steadyAt(used: number, status: () => Promise<Held>): Promise<void> {
  for (;;) {
    // the one that asks has its own window
    const { used: now, peers } = await status()
    if (peers <= 1 && now - 64 * 1024 <= used) return
  }
}
