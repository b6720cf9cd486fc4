/**
 * Every frame type in every state of a pipe, on both sides of it: the tables of
 * docs/reference/wire-format.md, "States of a pipe", cell by cell. What is a violation there ends
 * the session with ERR_PROTOCOL_VIOLATION, and what is not leaves it alive.
 */
import { describe, it } from 'node:test'
import { TrunkError } from '../../src/index.ts'
import { u64 } from '../helpers/frame-run.ts'
import { held, waitingProtocol } from '../helpers/held-pipes.ts'
import { cbor } from '../helpers/naive-cbor.ts'
import { encodeStatus, FINAL, frame, TYPE, type WireFrame } from '../helpers/naive-codec.ts'
import { outcome, protocol } from '../helpers/protocols.ts'
import { HIGHEST_EPOCH } from '../helpers/raw-peer.ts'
import { endsWith, livesOn, over, rawSession, type RawSession } from '../helpers/raw-session.ts'

const STATUS = encodeStatus({ number: 64, name: '', sentence: '' })

/** One frame of each kind for pipe `id`, in the direction of which nothing was sent yet. */
const FRAMES: Readonly<Record<string, (id: number) => WireFrame>> = {
  OPEN: (id) => frame(TYPE.OPEN, id, cbor({ protocol: 'hold' })),
  ACCEPT: (id) => frame(TYPE.ACCEPT, id),
  REFUSE: (id) => frame(TYPE.REFUSE, id, STATUS),
  DATA: (id) => frame(TYPE.DATA, id, Uint8Array.of(1)),
  END: (id) => frame(TYPE.END, id, u64(0)),
  CREDIT: (id) => frame(TYPE.CREDIT, id, u64(100_000)),
  STOP: (id) => frame(TYPE.STOP, id, STATUS),
  DONE: (id) => frame(TYPE.DONE, id),
  'DONE with a status': (id) => frame(TYPE.DONE, id, STATUS),
  RESET: (id) => frame(TYPE.RESET, id, STATUS),
  'RESET FINAL': (id) => frame(TYPE.RESET, id, STATUS, FINAL),
}
const ALL = Object.keys(FRAMES)
const ALL_BUT_OPEN = ALL.filter((name) => name !== 'OPEN')

interface State {
  readonly name: string
  /** The pipe that the frames are for. */
  readonly id: number
  /** Brings a pipe into the state. */
  reach(session: RawSession): Promise<void>
  /** Frames that are allowed; all else is a violation. */
  readonly allowed: readonly string[]
}

/** What the peer opens has odd ids, what we open even ones. */
const THEIRS = 1
const OURS = 2

const open = async ({ peer }: RawSession, name: string): Promise<void> => {
  await peer.open(THEIRS, name)
  if (name === 'hold') await peer.expect('ACCEPT', THEIRS)
}

const weOpen = async ({ trunk, peer }: RawSession, answer?: number): Promise<void> => {
  void outcome(trunk.open('anything')) // how it ends is not what this table is about
  await peer.expect('OPEN', OURS)
  if (answer !== undefined) await peer.send(frame(answer, OURS, answer === TYPE.REFUSE ? STATUS : undefined))
}

const RUNNING = ['DATA', 'END', 'CREDIT', 'STOP', 'RESET', 'RESET FINAL']

const ACCEPTOR: readonly State[] = [
  { name: 'never opened', id: 3, reach: (session) => open(session, 'hold'), allowed: ['OPEN'] },
  { name: 'never opened, of the other side', id: 4, reach: (session) => open(session, 'hold'), allowed: [] },
  { name: 'opening', id: THEIRS, reach: (session) => open(session, 'silent'), allowed: RUNNING },
  { name: 'open', id: THEIRS, reach: (session) => open(session, 'hold'), allowed: RUNNING },
  {
    name: 'open, its end sent',
    id: THEIRS,
    async reach(session) {
      await open(session, 'hold')
      await session.peer.offset(TYPE.END, THEIRS, 0)
    },
    allowed: RUNNING.filter((name) => name !== 'DATA' && name !== 'END'),
  },
  {
    name: 'open, stopped',
    id: THEIRS,
    async reach(session) {
      await open(session, 'hold')
      await session.peer.status(TYPE.STOP, THEIRS, 64)
      await session.peer.expect('END', THEIRS)
    },
    allowed: [...RUNNING.filter((name) => name !== 'STOP'), 'DONE', 'DONE with a status'],
  },
  {
    name: 'open, confirmed',
    id: THEIRS,
    async reach(session) {
      await open(session, 'hold')
      await session.peer.status(TYPE.STOP, THEIRS, 64)
      await session.peer.expect('END', THEIRS)
      await session.peer.send(frame(TYPE.DONE, THEIRS))
    },
    allowed: RUNNING.filter((name) => name !== 'STOP'),
  },
  {
    name: 'reset, its handler running',
    id: THEIRS,
    async reach(session) {
      await open(session, 'hold')
      await session.peer.status(TYPE.RESET, THEIRS, 64)
    },
    allowed: ALL_BUT_OPEN,
  },
  {
    name: 'over, refused',
    id: THEIRS,
    async reach({ peer }) {
      await peer.open(THEIRS, 'nobody')
      await peer.expect('REFUSE', THEIRS)
    },
    allowed: ALL_BUT_OPEN,
  },
  {
    name: 'over, finished',
    id: THEIRS,
    async reach({ trunk, peer }) {
      await peer.open(THEIRS, 'hold')
      await peer.expect('ACCEPT', THEIRS)
      await peer.offset(TYPE.END, THEIRS, 0)
      await peer.sync()
      held(trunk, THEIRS).end()
      await peer.expect('DONE', THEIRS)
      await peer.send(frame(TYPE.DONE, THEIRS))
    },
    allowed: ALL_BUT_OPEN,
  },
]

const OPENER: readonly State[] = [
  {
    name: 'opening',
    id: OURS,
    reach: (session) => weOpen(session),
    allowed: ['ACCEPT', 'REFUSE', 'CREDIT', 'STOP', 'RESET', 'RESET FINAL'],
  },
  { name: 'open', id: OURS, reach: (session) => weOpen(session, TYPE.ACCEPT), allowed: RUNNING },
  {
    name: 'reset',
    id: OURS,
    async reach(session) {
      const opening = session.trunk.open('anything')
      await session.peer.expect('OPEN', OURS)
      await session.peer.send(frame(TYPE.ACCEPT, OURS))
      const pipe = await opening
      pipe.abort(new TrunkError('ERR_ABORTED', 'changed my mind'))
      await session.peer.expect('RESET', OURS)
    },
    allowed: ALL_BUT_OPEN,
  },
  { name: 'over, refused', id: OURS, reach: (session) => weOpen(session, TYPE.REFUSE), allowed: ALL_BUT_OPEN },
]

for (const [side, states] of [
  ['accepted', ACCEPTOR],
  ['opened', OPENER],
] as const) {
  describe(`each frame in each state of a pipe that we ${side} [R-230]`, { timeout: 60_000 }, () => {
    for (const { name: state, id, reach, allowed } of states) {
      for (const name of ALL) {
        const fine = allowed.includes(name)
        it(`${name} for a pipe that is ${state}: ${fine ? 'the session lives' : 'a violation'}`, async () => {
          const session = await rawSession({ protocols: [waitingProtocol(), silent] }, { epoch: HIGHEST_EPOCH })
          await reach(session)
          await session.peer.send(FRAMES[name]!(id))
          if (fine) {
            await livesOn(session)
            await over(session)
          } else await endsWith(session, 'ERR_PROTOCOL_VIOLATION', 26)
        })
      }
    }
  })
}

/** Never answers. */
const silent = protocol('silent', async ({ signal }) => {
  await new Promise((resolve) => {
    signal.addEventListener('abort', resolve)
  })
})
