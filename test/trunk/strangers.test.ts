/**
 * Who has proved nothing yet: how many a server has in their hello, and who goes when there are too
 * many.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { connect, serve } from '../../src/index.ts'
import { addressGroup, Strangers } from '../../src/session/strangers.ts'
import { noStrayRejections } from '../helpers/stray-rejections.ts'

noStrayRejections()

const ANY = 'tcp://127.0.0.1:0'

describe('[R-400] strangers', () => {
  const stand = (max: number) => {
    const cut: string[] = []
    const strangers = new Strangers(max)
    const add = (peer: string) => strangers.add(peer, () => cut.push(peer))
    return { strangers, cut, add }
  }

  it('are as many as there is room for, and the oldest of the greediest address goes for the next one', () => {
    const { strangers, cut, add } = stand(4)
    for (const peer of ['10.0.0.1:1', '10.0.0.2:1', '10.0.0.2:2', '10.0.0.3:1']) add(peer)
    assert.equal(cut.length, 0)
    add('10.0.0.4:1')
    assert.deepEqual(cut, ['10.0.0.2:1'])
    assert.equal(strangers.count, 4)
    for (let port = 1; port <= 20; port++) add(`10.0.0.9:${port}`)
    // whoever has many loses its own, and one of each address stays
    assert.deepEqual(new Set(cut.slice(4).map((peer) => peer.split(':')[0])), new Set(['10.0.0.9']))
    assert.equal(strangers.count, 4)
    assert.equal(strangers.cut, 21)
  })

  it('leave once, also after they were cut', () => {
    const { strangers, add } = stand(2)
    const leave = [add('a:1'), add('a:2'), add('a:3')]
    for (const one of [...leave, ...leave]) one()
    assert.equal(strangers.count, 0)
  })

  it('are known by what one of them has: a whole address, or the first half of one of IPv6', () => {
    const groups: readonly [string, string][] = [
      ['127.0.0.1:4000', '127.0.0.1'],
      ['[2001:db8:1:2:3:4:5:6]:1', '2001:db8:1:2'],
      ['[2001:db8:1:2::7]:1', '2001:db8:1:2'],
      ['[2001:db8::]:1', '2001:db8:0:0'],
      ['[::1]:1', '0:0:0:0'],
      ['[fe80::1%eth0]:1', 'fe80:0:0:0'],
      ['[::ffff:10.0.0.1]:1', '10.0.0.1'],
      ['', ''],
    ]
    for (const [peer, group] of groups) assert.equal(addressGroup(peer), group, peer)
  })
})

describe('[R-402] a server without a token', () => {
  it('refuses those beyond its last place before they have a session, however many come at once', async () => {
    const server = await serve(ANY, { limits: { maxSessions: 3 } })
    const made = await Promise.allSettled(Array.from({ length: 12 }, () => connect(server.address)))
    const codes = made.map((one) => (one.status === 'fulfilled' ? 'resolved' : (one.reason as { code: string }).code))
    assert.equal(codes.filter((code) => code === 'resolved').length, 3, codes.join())
    assert.equal(codes.filter((code) => code === 'ERR_SESSION_LIMIT').length, 9, codes.join())
    for (const one of made) if (one.status === 'fulfilled') await one.value.close()
    await server.close()
  })
})
