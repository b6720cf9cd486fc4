/**
 * The probe: what a line's settings do to bytes, told from what arrives in its place, by the
 * values.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import {
  diagnose,
  isProbe,
  PROBE,
  PROBE_BYTES,
  protocolOf,
  STRIPPED_SYNC_WORD,
} from '../../../src/core/checked-frame/probe.ts'
import { bigEndian, concat, frame, hex, SYNC, TYPE, utf8 } from '../../helpers/naive-codec.ts'
import * as naive from '../../helpers/naive-checked-codec.ts'

/** What comes behind a probe: a HELLO; its payload is looked at by nobody. */
const HELLO = naive.encodeChecked(frame(TYPE.HELLO, 0, concat(utf8('a hello'), bigEndian(7, 8))), 0).bytes

/** What a line makes of each byte. */
type Setting = (byte: number) => readonly number[]

/** What arrives in the probe's place over a line with these settings, one behind the other. */
function arrives(...settings: readonly Setting[]): Uint8Array {
  let bytes = [...PROBE, ...HELLO, ...new Uint8Array(PROBE_BYTES)]
  for (const setting of settings) bytes = bytes.flatMap(setting)
  return Uint8Array.from(bytes.slice(0, PROBE_BYTES))
}

const swallows =
  (...values: number[]): Setting =>
  (byte) =>
    values.includes(byte) ? [] : [byte]
const turns =
  (from: number, ...to: number[]): Setting =>
  (byte) =>
    byte === from ? to : [byte]
const letters =
  (first: string, by: number): Setting =>
  (byte) =>
    byte >= first.charCodeAt(0) && byte < first.charCodeAt(0) + 26 ? [byte + by] : [byte]

const raw: Setting = (byte) => [byte]
const icrnl = turns(0x0d, 0x0a)
const ixon = swallows(0x11, 0x13)

/** Settings, and all that is said of them. */
const LINES: readonly [what: string, settings: readonly Setting[], sentence: string][] = [
  ['icrnl', [icrnl], '0x0d arrives as 0x0a: CR becomes NL (icrnl)'],
  ['inlcr', [turns(0x0a, 0x0d)], '0x0a arrives as 0x0d: NL becomes CR (inlcr)'],
  ['igncr', [swallows(0x0d)], '0x0d is missing: CR is taken out (igncr)'],
  ['onlcr', [turns(0x0a, 0x0d, 0x0a)], '0x0d comes before 0x0a: NL becomes CR NL (onlcr)'],
  ['istrip', [(byte) => [byte & 0x7f]], 'the eighth bit of every byte is cut off (seven data bits, or istrip)'],
  ['ixon', [ixon], '0x13 is missing, 0x11 is missing: XON and XOFF are taken out (ixon, or software flow control)'],
  ['parmrk', [turns(0xff, 0xff, 0xff)], '0xff comes before 0xfe: 0xff is doubled (parmrk)'],
  [
    'iuclc',
    [letters('A', 32)],
    '0x5a arrives as 0x7a, 0x59 arrives as 0x79, 0x58 arrives as 0x78, 0x57 arrives as 0x77, 0x56 arrives as 0x76, 0x55 arrives as 0x75 and 20 more',
  ],
  [
    'olcuc',
    [letters('a', -32)],
    '0x7a arrives as 0x5a, 0x79 arrives as 0x59, 0x78 arrives as 0x58, 0x77 arrives as 0x57, 0x76 arrives as 0x56, 0x75 arrives as 0x55 and 20 more',
  ],
  ['one value swallowed', [swallows(0x42)], '0x42 is missing'],
  ['three swallowed', [swallows(0x1a, 0x04, 0x03)], '0x1a is missing, 0x04 is missing, 0x03 is missing'],
  ['three in a row swallowed', [swallows(0xb2, 0xb1, 0xb0)], '0xb2 is missing, 0xb1 is missing, 0xb0 is missing'],
  ['NUL replaced', [turns(0x00, 0x80)], '0x00 arrives as 0x80'],
  ['a tab made spaces', [turns(0x09, ...utf8('        '))], '0x09 arrives as 0x20, 0x20 comes before 0x08'],
  [
    'a cooked terminal: signals, flow control, icrnl',
    [swallows(0x03, 0x04, 0x11, 0x13, 0x15, 0x16, 0x17, 0x1a, 0x1c, 0x7f), icrnl],
    '0x7f is missing, 0x1c is missing, 0x1a is missing, 0x17 is missing, 0x16 is missing, 0x15 is missing and 5 more: XON and XOFF are taken out (ixon, or software flow control); CR becomes NL (icrnl)',
  ],
  [
    'igncr on one side and onlcr on the other',
    [swallows(0x0d), turns(0x0a, 0x0d, 0x0a)],
    '0x0d is missing, 0x0d comes before 0x0a: CR is taken out (igncr); NL becomes CR NL (onlcr)',
  ],
]

describe('the probe', () => {
  it('is every value of a byte once, descending, and holds no sync word', () => {
    assert.equal(hex(PROBE), hex(naive.PROBE))
    assert.equal(isProbe(PROBE.slice()), true)
    assert.equal(Buffer.from(PROBE).indexOf(SYNC), -1)
    assert.deepEqual(
      [...STRIPPED_SYNC_WORD],
      [...SYNC].map((byte) => byte & 0x7f),
    )
  })

  it('is the probe over a raw line, and there alone', () => {
    assert.equal(isProbe(arrives(raw)), true)
    assert.equal(diagnose(arrives(raw)), '')
    for (let at = 0; at < PROBE_BYTES; at++) {
      const bytes = PROBE.slice()
      bytes[at]! ^= 1
      assert.equal(isProbe(bytes), false, `${at}`)
    }
  })

  for (const [what, settings, sentence] of LINES) {
    it(`names what ${what} does [R-058]`, () => {
      const bytes = arrives(...settings)
      assert.equal(isProbe(bytes), false)
      assert.equal(diagnose(bytes), sentence)
    })
  }

  it('names each value that is swallowed alone, changed alone, or doubled [R-058]', () => {
    const named = (value: number): string => `0x${value.toString(16).padStart(2, '0')}`
    for (let value = 0; value < 256; value++) {
      const missing = diagnose(arrives(swallows(value)))
      // 0x00 and 0x01 are missing from the hello behind the probe too: where it begins is less
      // clear then
      assert.ok(missing.startsWith(`${named(value)} ${value > 1 ? 'is missing' : ''}`), missing)
      const other = value ^ 0x40
      const changed = diagnose(arrives(turns(value, other)))
      assert.ok(changed.startsWith(`${named(value)} arrives as ${named(other)}`), changed)
      const doubled = diagnose(arrives(turns(value, value, value)))
      // where one of the last two is doubled, the end of the probe is beyond what is looked at
      const next = value <= 1 ? '' : `${named(value)} comes before ${named(value - 1)}`
      assert.ok(doubled.startsWith(next), doubled)
    }
  })

  it('names any three values that are swallowed [R-058]', () => {
    for (let i = 0; i < 2000; i++) {
      const values = [(i * 37) % 254, (i * 101 + 7) % 254, (i * 59 + 90) % 254].map((value) => value + 2)
      const wanted = [...new Set(values)].sort((a, b) => b - a)
      const said = diagnose(arrives(swallows(...values))).split(': ')[0]
      assert.equal(said, wanted.map((value) => `0x${value.toString(16).padStart(2, '0')} is missing`).join(', '))
    }
  })

  it('says the same each time, and something of whatever comes', () => {
    for (const filler of [0, 0x55, 0xff]) {
      const bytes = new Uint8Array(PROBE_BYTES).fill(filler)
      assert.ok(diagnose(bytes).length > 0)
      assert.ok(diagnose(bytes).length < 400)
      assert.equal(diagnose(bytes), diagnose(bytes.slice()))
    }
    // twice as fast as it is sent: only half of what comes is the probe's
    assert.ok(diagnose(arrives((byte) => [byte, byte])).length > 0)
  })
})

describe('the first bytes of a line', () => {
  it('tell telnet, a WebSocket and SSH from noise', () => {
    // what QEMU's character devices say of themselves with telnet=on and, asked by a hello burst,
    // with websocket=on
    assert.match(protocolOf(Uint8Array.of(0xff, 0xfb, 0x01, 0xff, 0xfb, 0x03)) ?? '', /telnet=on/)
    assert.match(protocolOf(Buffer.from('HTTP/1.1 400 Bad Request')) ?? '', /websocket=on/)
    assert.match(protocolOf(Buffer.from('SSH-2.0-OpenSSH_9.2')) ?? '', /SSH/)
    for (const other of ['', 'HT', 'login: ', '\xff\xff\xff'])
      assert.equal(protocolOf(Buffer.from(other, 'latin1')), undefined)
  })
})
