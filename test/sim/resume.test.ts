/** Sessions that outlive their links: pipes go on byte for byte, wherever the links are lost. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { SessionSecret } from '../../src/core/resume/secret.ts'
import { resumeCrypto } from '../../src/session/resume-crypto.ts'
import { TrunkError } from '../../src/contracts/errors.ts'
import { HEADER_BYTES } from '../../src/core/frame/constants.ts'
import { MAX_RETAINED_BYTES, ResumeWorld } from './resume-world.ts'

const SEEDS = 150

const SILENT = {
  accepted: () => undefined,
  readable: () => undefined,
  written: () => undefined,
  stopped: () => undefined,
  confirmed: () => undefined,
  failed: () => undefined,
}

/** A world in which a session stands. */
function standing(seed: number): ResumeWorld {
  const world = new ResumeWorld(seed)
  world.link()
  world.until(() => world.a.session !== undefined && world.b.session !== undefined)
  return world
}

const all = (world: ResumeWorld): boolean =>
  [...world.a.transfers, ...world.b.transfers].every(({ confirmed, failed }) => confirmed || failed !== '')

function run(seed: number): number {
  const world = standing(seed)
  const { random } = world
  const cuts = random.integer(1, 12)
  for (const side of [world.a, world.b])
    for (let pipe = random.integer(1, 4); pipe > 0; pipe--)
      side.write(random.integer(1, 1000), random.scale(1, 300_000))
  for (let cut = 0; cut < cuts; cut++) {
    for (let step = random.scale(1, 60); step > 0; step--) {
      world.step()
      world.checkPositions()
    }
    world.cut()
    for (let step = random.integer(0, 5); step > 0; step--) world.step()
    world.link()
  }
  world.until(() => all(world))
  for (const { failed } of [...world.a.transfers, ...world.b.transfers]) assert.equal(failed, '', `seed ${seed}`)
  world.checkPositions()
  const { session } = world.a
  session?.close(world.now)
  world.until(() => world.a.ended && world.b.ended)
  assert.equal(world.a.error, undefined, `seed ${seed}: ${world.describe()}`)
  assert.equal(world.b.error, undefined, `seed ${seed}: ${world.describe()}`)
  return session?.resumed ?? 0
}

describe('sessions over one link after the other', () => {
  it(`[R-742] deliver each byte once, whatever links are lost, for ${SEEDS} seeds`, () => {
    let resumed = 0
    for (let seed = 1; seed <= SEEDS; seed++) resumed += run(seed)
    assert.ok(resumed > SEEDS, `${resumed} links went on with a session`)
  })

  it('[R-749] goes on with none but the peer, whoever asks with its name', () => {
    const world = standing(3)
    const { session } = world.a
    assert.ok(session !== undefined)
    const codes: string[] = []
    // somebody who has read the name on the line, and all positions, but has another key
    world.a.stranger = {
      id: session.secret.id,
      going: {
        stream: session.stream,
        secret: new SessionSecret(resumeCrypto, new Uint8Array(0), new Uint8Array(32), []),
        attempt: 0,
        attached: false,
        detach: () => undefined,
        giveUp: (error) => codes.push(String(error.code)),
      },
    }
    const before = world.detach()
    world.link()
    world.until(() => world.a.fresh.length === 1 && world.b.fresh.length === 1)
    assert.deepEqual(codes, ['ERR_RESUME_UNKNOWN'])
    assert.equal(world.b.session?.resumed, 0)
    // the link of the session was not touched
    world.a.stranger = undefined
    world.attach(before)
    world.a.write(1, 100_000)
    world.until(() => all(world))
    assert.equal(world.a.transfers[0]?.failed, '')
  })

  it('[R-841] goes on with its peer after an earlier attempt of the same peer came late', () => {
    const world = standing(5)
    world.a.write(1, 100_000)
    world.cut()
    const [a1, b1] = [world.a.greet(), world.b.greet()]
    world.arrive(world.says(a1), b1)
    world.arrive(world.says(b1), a1)
    const late = world.says(a1)
    // the first attempt was given up, and the second one has its session
    const [a2, b2] = [world.a.greet(), world.b.greet()]
    world.arrive(world.says(a2), b2)
    world.arrive(world.says(b2), a2)
    world.arrive(world.says(a2), b2)
    const answer = world.says(b2)
    world.arrive(late, b1)
    world.arrive(answer, a2)
    world.attach([a2, b2])
    for (let step = 0; step < 20; step++) world.step()
    world.cut()
    world.link()
    world.until(() => all(world))
    assert.equal(world.a.transfers[0]?.failed, '')
    assert.equal(world.b.session?.resumed, 2)
  })

  it('[R-842] answers over the next link what was asked over the last one', () => {
    const world = standing(7)
    const sides = [world.a, world.b]
    for (const side of sides) {
      for (let asked = 0; asked < 20; asked++) {
        const id = side.session?.ping() ?? 0
        world.until(() => side.ponged >= id)
      }
    }
    world.detach()
    const asked = sides.map(({ session }) => session?.ping() ?? 0)
    world.link()
    world.until(() => sides.every(({ session }) => session?.resumed === 1))
    for (let step = 0; step < 100; step++) world.step()
    assert.deepEqual(
      sides.map(({ ponged }, at) => ponged >= (asked[at] ?? Infinity)),
      [true, true],
    )
  })

  it('[R-846] retain no more than they may of open requests, and send the rest when there is room', () => {
    const world = standing(11)
    world.b.holds = true
    const { session } = world.a
    assert.ok(session?.mux !== undefined)
    const [a, b] = world.detach()
    world.arrive(world.says(a), b)
    world.arrive(world.says(b), a)
    const { log } = session.stream
    const before = log.end
    for (let pipe = 0; pipe < 120; pipe++) session.mux.open(new Uint8Array(4_000), SILENT, world.now)
    const said: Uint8Array[] = []
    for (let more = world.says(a); more.length > 0; more = world.says(a)) said.push(...more)
    assert.ok(log.retained > 100_000 && log.retained <= MAX_RETAINED_BYTES, `${log.retained} bytes are retained`)
    world.arrive(said, b)
    const answer = world.says(b)
    const { wakes } = world.a
    world.arrive(answer, a)
    assert.ok(world.a.wakes > wakes, 'nobody was told that there is room')
    for (let more = world.says(a); more.length > 0; more = world.says(a)) {
      world.arrive(more, b)
      world.arrive(world.says(b), a)
    }
    assert.equal(log.end - before, 120 * (4_000 + HEADER_BYTES))
  })

  it(`[R-847] end well when links are lost during the close, for ${SEEDS} seeds`, () => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const world = standing(seed)
      const { random, a, b } = world
      for (const side of [a, b])
        for (let pipe = random.integer(1, 3); pipe > 0; pipe--)
          side.write(random.integer(1, 1000), random.scale(1, 50_000))
      world.until(() => a.handled === b.transfers.length && b.handled === a.transfers.length)
      const closing = random.pick([[a], [b], [a, b]])
      for (const { session } of closing) session?.close(world.now)
      for (let cut = random.integer(1, 8); cut > 0 && !(a.ended && b.ended); cut--) {
        for (let step = random.scale(1, 60); step > 0; step--) world.step()
        world.cut()
        if (!a.ended) world.link()
      }
      world.until(() => a.ended && b.ended)
      for (const side of [a, b]) {
        assert.equal(side.error, undefined, `seed ${seed}: ${world.describe()}`)
        for (const { failed, confirmed } of side.transfers)
          assert.deepEqual([failed, confirmed], ['', true], `seed ${seed}`)
      }
    }
  })

  it('owe the next link no word that its hello has said', () => {
    const world = standing(13)
    const [a, b] = world.detach()
    world.a.write(1, 1_000)
    world.arrive(world.says(a), b)
    const { session } = world.b
    assert.ok(session !== undefined && session.stream.deadline() < Infinity)
    for (const end of [a, b]) end.engine.linkEnded(new TrunkError('ERR_LINK_RESET', 'cut'), world.now)
    world.now += 30_000
    world.link()
    world.until(() => session.resumed === 1)
    // else the late time would pass for a suspension of this process
    assert.ok(session.deadline() >= world.now - 1_000)
  })
})
