/** `trunkline bench` against live peers, over every kind of line that this machine has. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { BINARY, serving, start, trunkline } from '../helpers/command-line.ts'
import type { Outcome } from '../helpers/command-line.ts'
import { ptyPair } from '../helpers/pty.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

interface RoundTrips {
  count: number
  medianMs: number
  p99Ms: number
}
interface Rate {
  bytes: number
  milliseconds: number
  bytesPerSecond: number
  samples: number[]
  roundTrip?: RoundTrips
}
interface Measured {
  address: string
  peer: string
  roundTrip: RoundTrips
  read: Rate
  write: Rate
}

/**
 * What a short measurement by `--json` says; both ways and the round trips have to make sense
 * together.
 */
function measured({ status, stdout, stderr }: Outcome): Measured {
  assert.deepEqual([status, stderr], [0, ''])
  const said = JSON.parse(stdout) as Measured
  for (const { bytes, milliseconds, bytesPerSecond, samples } of [said.read, said.write]) {
    assert.ok(bytes > 0)
    assert.ok(Math.abs(bytesPerSecond - (bytes * 1000) / milliseconds) < 1)
    assert.ok(samples.length > 0 && samples.length <= 32, `${samples.length} samples`)
    assert.ok(samples.every((sample) => sample >= 0) && samples.some((sample) => sample > 0))
  }
  assert.ok(said.roundTrip.count > 0 && said.roundTrip.medianMs > 0)
  assert.ok(said.roundTrip.p99Ms >= said.roundTrip.medianMs)
  return said
}

const QUICK = ['--seconds', '0.3'] as const

describe('trunkline bench', () => {
  it('shows the round trip, the rate each way and how it went, over TCP [R-300]', async () => {
    const server = await serving(['--bench'])
    const { status, stdout, stderr } = await trunkline(['bench', server.address, ...QUICK])
    assert.deepEqual([status, stderr], [0, ''])
    const [peer, roundTrip, read, write, ...more] = stdout.split('\n')
    assert.equal(peer, `trunkline at ${server.address}`)
    assert.match(roundTrip ?? '', /^round trip {5}median [\d.]+ m?s, p99 [\d.]+ m?s, \d+ measured$/)
    const rate = / +[\d.]+ [KMG]?i?B\/s {2}[▁▂▃▄▅▆▇█]{1,32} {2}[\d.]+ [KMG]?i?B in \d+ ms; round trip meanwhile: \S/
    assert.match(read ?? '', new RegExp(`^from the peer${rate.source}`))
    assert.match(write ?? '', new RegExp(`^to the peer  ${rate.source}`))
    assert.deepEqual(more, [''])
    await server.stop()
  })

  it('takes the peer from --to and $TRUNKLINE_TO, over a unix socket, and gives one JSON object [R-301]', async () => {
    const server = await serving(['--bench'], `unix://${join(temporaryFolder(), 'line.sock')}`)
    const { address, peer } = measured(await trunkline(['bench', '--json', ...QUICK], { to: server.address }))
    assert.deepEqual([address, peer], [server.address, 'trunkline'])
    measured(await trunkline(['bench', '--json', '--to', server.address, ...QUICK]))
    await server.stop()
  })

  it('measures a child process [R-302]', async () => {
    const to = `exec:${process.execPath} ${BINARY} serve stdio: --bench`
    measured(await trunkline(['bench', to, '--json', ...QUICK]))
  })

  it('measures a serial line, no faster than it is, and answers beside the bulk [R-303]', async () => {
    const rate = 60_000
    const line = await ptyPair({ rate })
    const server = await serving(['--bench'], `serial://${line.far}`)
    const { read, write } = measured(await trunkline(['bench', `serial://${line.near}`, '--json', '--seconds', '2']))
    for (const { bytesPerSecond, roundTrip } of [read, write]) {
      assert.ok(bytesPerSecond <= rate, `${bytesPerSecond} of ${rate} bytes a second`)
      assert.ok(bytesPerSecond > rate / 4, `${bytesPerSecond} of ${rate} bytes a second`)
      assert.ok((roundTrip?.count ?? 0) > 0)
    }
    await server.stop()
    await line.close()
  })

  it('ends with 4 where the peer does not offer it, before anything is measured [R-304]', async () => {
    const server = await serving([])
    const { status, stdout, stderr } = await trunkline(['bench', server.address])
    assert.equal(stdout, '')
    const sentence = 'the peer does not offer bench; trunkline serve --bench does'
    assert.equal(stderr, `trunkline: ERR_PROTOCOL_UNKNOWN: ${sentence}\n`)
    assert.equal(status, 4)
    await server.stop()
  })

  it('ends with 1 when the user interrupts, and with 3 when the peer goes away [R-305]', async () => {
    const server = await serving(['--bench'])
    // while it measures the round trip, and while it measures a rate
    for (const [lines, seconds] of [
      [1, '60'],
      [2, '6'],
    ] as const) {
      const interrupted = start(['bench', server.address, '--seconds', seconds])
      await interrupted.lines(lines)
      interrupted.child.kill('SIGINT')
      const { status, stdout, stderr } = await interrupted.ended
      assert.equal(stderr, 'trunkline: ERR_ABORTED: interrupted by SIGINT\n')
      assert.deepEqual([status, stdout.split('\n').length], [1, lines + 1])
    }

    const left = start(['bench', server.address, '--seconds', '60'])
    await left.lines(1)
    server.running.child.kill('SIGKILL')
    const lost = await left.ended
    assert.match(lost.stderr, /^trunkline: ERR_LINK_(LOST|RESET): [^\n]+\n$/)
    assert.equal(lost.status, 3)
  })
})
