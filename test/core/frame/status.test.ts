/** Statuses: the golden ones, and what never travels. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ERROR_CODES, TrunkError, type KnownCode } from '../../../src/contracts/errors.ts'
import { decodeStatus, encodeStatus, MAX_SENTENCE_BYTES, MAX_STATUS_BYTES } from '../../../src/core/frame/status.ts'
import { fromHex, hex } from '../../helpers/naive-codec.ts'
import * as naive from '../../helpers/naive-codec.ts'
import { wireFixture } from '../../helpers/wire-fixtures.ts'

const fixture = wireFixture('statuses.json')

describe('status', () => {
  for (const vector of fixture.valid) {
    it(`encodes and decodes the golden one with the ${vector.what}`, () => {
      assert.equal(hex(encodeStatus(vector.code, vector.sentence)), vector.hex)
      const error = decodeStatus(fromHex(vector.hex), 'ERR_IO')
      assert.ok(error instanceof TrunkError)
      assert.deepEqual([error.code, error.message, error.origin], [vector.code, vector.sentence, 'remote'])
    })
  }

  it('takes a number of a newer version for the fallback', () => {
    const error = decodeStatus(fromHex(fixture.unknownNumber.hex), 'ERR_PIPE_STOPPED')
    assert.deepEqual([error?.code, error?.message], ['ERR_PIPE_STOPPED', fixture.unknownNumber.sentence])
  })

  for (const { name, hex: text } of fixture.invalid) {
    it(`finds no status in the golden ${name}`, () => {
      assert.equal(decodeStatus(fromHex(text), 'ERR_IO'), undefined)
    })
  }

  it('finds no status whose name goes on behind its end [R-306]', () => {
    const name = Buffer.from('ERR_OF_A_PLUGIN')
    for (let missing = 0; missing < 3; missing++) {
      const payload = Uint8Array.of(0, 0, name.byteLength, ...name.subarray(0, name.byteLength - missing))
      const code = decodeStatus(payload, 'ERR_IO')?.code
      assert.equal(code, missing === 0 ? 'ERR_OF_A_PLUGIN' : undefined, `${missing} bytes are missing`)
    }
  })

  it('brings every code with a number across', () => {
    for (const [code, { wire }] of Object.entries(ERROR_CODES)) {
      if (wire === 0) continue
      const payload = encodeStatus(code, '')
      assert.equal(naive.decodeStatus(payload).number, wire)
      assert.equal(decodeStatus(payload, 'ERR_IO')?.code, code)
    }
  })

  it('sends a code that has no number, or no shape, as ERR_PIPE_RESET', () => {
    for (const code of ['ERR_BAD_ARGUMENT' satisfies KnownCode, 'lower', 'A', 'ENOENT: /secret', 'A'.repeat(65), '']) {
      assert.equal(decodeStatus(encodeStatus(code, 'why'), 'ERR_IO')?.code, 'ERR_PIPE_RESET', code)
    }
  })

  it('takes a sentence of exactly the limit whole and cuts a longer one before a character [R-004]', () => {
    assert.equal(MAX_STATUS_BYTES, 579)
    const exact = 'x'.repeat(MAX_SENTENCE_BYTES)
    assert.equal(decodeStatus(encodeStatus('ERR_IO', exact), 'ERR_IO')?.message, exact)
    assert.equal(decodeStatus(encodeStatus('ERR_IO', `${exact}y`), 'ERR_IO')?.message, exact)
    const odd = `x${'é'.repeat(300)}`
    assert.equal(decodeStatus(encodeStatus('ERR_IO', odd), 'ERR_IO')?.message, `x${'é'.repeat(255)}`)
  })

  it('takes a status of exactly 579 bytes and none of 580 [R-004]', () => {
    const longest = (length: number): Uint8Array =>
      new Uint8Array(length).fill(0x41).map((byte, i) => [0, 76, 0][i] ?? byte)
    assert.equal(decodeStatus(longest(579), 'ERR_IO')?.code, 'ERR_HANDLER_FAILED')
    assert.equal(decodeStatus(longest(580), 'ERR_IO'), undefined)
  })

  it('sends and takes no control character', () => {
    const payload = encodeStatus('ERR_IO', 'a\u001b[2J\r\n\u0000\u009f\u2028b')
    assert.equal(naive.decodeStatus(payload).sentence, 'a [2J     b')
    const raw = naive.encodeStatus({ number: 201, name: '', sentence: 'a\u001bb\u007f' })
    assert.equal(decodeStatus(raw, 'ERR_IO')?.message, 'a b ')
  })
})
