/**
 * The token's proof by hand: who proves first, over what, and what a peer without the token gets to
 * see.
 */
import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { describe, it } from 'node:test'
import { eventually } from '../helpers/eventually.ts'
import { cbor, fromCbor } from '../helpers/naive-cbor.ts'
import { bigEndian, concat, frame, SYNC, TYPE, utf8 } from '../helpers/naive-codec.ts'
import type { HelloFields, RawPeer } from '../helpers/raw-peer.ts'
import { isCode, livesOn, over, rawLine } from '../helpers/raw-session.ts'

const TOKEN = 'correct horse battery staple'
const challenge = new Uint8Array(32).fill(7)

/** The proof as docs/reference/wire-format.md has it. */
function proof(role: string, prover: Uint8Array, verifier: Uint8Array, token = TOKEN): Uint8Array {
  const label = utf8(`trunkline token proof, wire version 1\0${role}\0`)
  const input = concat(label, bigEndian(prover.byteLength, 4), bigEndian(verifier.byteLength, 4), prover, verifier)
  return new Uint8Array(createHmac('sha256', token).update(input).digest())
}

type Line = ReturnType<typeof rawLine>

/** Our side serves or connects with the token. */
const line = (role: 'connect' | 'serve'): Line => rawLine({ token: TOKEN, role })

async function refusedWith({ trunk, peer, clock }: Line, code: string, number: number): Promise<void> {
  await assert.rejects(trunk, isCode(code, 'local'))
  assert.equal(await peer.expectStatus('BYE'), number)
  await peer.ended
  await eventually(() => clock.pending === 0, 'no timer is left')
}

async function theirProof(peer: RawPeer): Promise<Uint8Array> {
  return (fromCbor((await peer.expect('READY')).payload) as HelloFields).proof as Uint8Array
}

describe('token by hand', { timeout: 60_000 }, () => {
  it('lets in who proves the token, and proves it in turn', async () => {
    const serving = line('serve')
    const theirs = await serving.peer.exchangeHellos({ role: 'connect', challenge })
    assert.equal((theirs.challenge as Uint8Array).byteLength, 32)
    assert.equal(theirs.role, 'serve')
    const { ownHello, theirHello } = serving.peer
    await serving.peer.ready({ proof: proof('connect', ownHello, theirHello) })
    assert.deepEqual(await theirProof(serving.peer), proof('serve', theirHello, ownHello))
    const session = { ...serving, trunk: await serving.trunk }
    await livesOn(session)
    await over(session)
  })

  it('proves first where it connects', async () => {
    const connecting = line('connect')
    await connecting.peer.exchangeHellos({ role: 'serve', challenge })
    const { ownHello, theirHello } = connecting.peer
    assert.deepEqual(await theirProof(connecting.peer), proof('connect', theirHello, ownHello))
    await connecting.peer.ready({ proof: proof('serve', ownHello, theirHello) })
    const session = { ...connecting, trunk: await connecting.trunk }
    await livesOn(session)
    await over(session)
  })

  it('asks for a token where only one side has one', async () => {
    for (const role of ['serve', 'connect'] as const) {
      const without = line(role)
      await without.peer.exchangeHellos({ role: role === 'serve' ? 'connect' : 'serve' })
      await refusedWith(without, 'ERR_AUTH_REQUIRED', 23)
      assert.equal(without.peer.count('READY'), 0)
    }
    const asked = rawLine({ role: 'serve' })
    await asked.peer.exchangeHellos({ role: 'connect', challenge })
    await refusedWith(asked, 'ERR_AUTH_REQUIRED', 23)
  })

  const wrong: [string, (own: Uint8Array, their: Uint8Array) => Uint8Array | undefined][] = [
    ['none at all', () => undefined],
    ['with another token', (own, their) => proof('connect', own, their, 'incorrect horse battery staple')],
    ['with the other role', (own, their) => proof('serve', own, their)],
    ['over the hellos the wrong way round', (own, their) => proof('connect', their, own)],
    ['over another hello of ours', (own, their) => proof('connect', concat(own, Uint8Array.of(0)), their)],
    ['cut short', (own, their) => proof('connect', own, their).subarray(0, 31)],
    ['with a byte more', (own, their) => concat(proof('connect', own, their), Uint8Array.of(0))],
    ['of nothing', () => new Uint8Array(0)],
  ]
  for (const [name, make] of wrong) {
    it(`refuses a proof ${name}, and gives none of its own`, async () => {
      const serving = line('serve')
      await serving.peer.exchangeHellos({ role: 'connect', challenge })
      await serving.peer.ready({ proof: make(serving.peer.ownHello, serving.peer.theirHello) })
      await refusedWith(serving, 'ERR_AUTH_FAILED', 24)
      assert.equal(serving.peer.count('READY'), 0)
    })
  }

  it('refuses its own proof sent back', async () => {
    const connecting = line('connect')
    await connecting.peer.exchangeHellos({ role: 'serve', challenge })
    await connecting.peer.ready({ proof: await theirProof(connecting.peer) })
    await refusedWith(connecting, 'ERR_AUTH_FAILED', 24)
  })

  it('refuses its own challenge and hello sent back', async () => {
    const connecting = line('connect')
    const { payload } = await connecting.peer.expect('HELLO')
    const theirs = fromCbor(payload) as HelloFields
    await connecting.peer.send(SYNC, frame(TYPE.HELLO, 0, cbor({ ...theirs, epoch: new Uint8Array(8) })))
    await refusedWith(connecting, 'ERR_HELLO_INVALID', 20)
    assert.equal(connecting.peer.count('READY'), 0)
  })

  it('wants one side to connect and the other to serve', async () => {
    for (const [ours, theirs] of [
      ['serve', 'serve'],
      ['connect', 'connect'],
      ['serve', 'peer'],
      ['connect', 'peer'],
    ] as const) {
      const both = line(ours)
      await both.peer.exchangeHellos({ role: theirs, challenge })
      await refusedWith(both, 'ERR_HELLO_INVALID', 20)
      assert.equal(both.peer.count('READY'), 0)
    }
  })

  it('never sends the token', async () => {
    const serving = line('serve')
    await serving.peer.exchangeHellos({ role: 'connect', challenge })
    await serving.peer.ready({ proof: proof('connect', serving.peer.ownHello, serving.peer.theirHello) })
    await serving.trunk
    await serving.peer.expect('READY')
    for (const { payload } of serving.peer.received) assert.equal(Buffer.from(payload).includes(TOKEN), false)
    await over({ ...serving, trunk: await serving.trunk })
  })
})
