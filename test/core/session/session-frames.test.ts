/**
 * The frames of the session itself: each length that is allowed and its neighbours, before the
 * session is established and after.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { checkSessionFrame } from '../../../src/core/session/session-frames.ts'
import { TYPE, type TypeName } from '../../helpers/naive-codec.ts'

const RULES: readonly [name: TypeName, min: number, max: number, before: boolean, after: boolean][] = [
  ['HELLO', 1, 65_535, true, false],
  ['READY', 1, 256, true, false],
  ['CLOSING', 0, 0, false, true],
  ['BYE', 3, 579, true, true],
  ['PING', 16, 16, false, true],
  ['PONG', 24, 24, false, true],
  ['PARSED', 8, 8, false, true],
]

describe('frames of the session', () => {
  for (const [name, min, max, before, after] of RULES) {
    it(`allows ${name} of ${min} to ${max} bytes, in its time`, () => {
      for (const [standing, allowed] of [
        [false, before],
        [true, after],
      ] as const) {
        for (const length of [min - 1, min, max, max + 1]) {
          const check = (): void => {
            checkSessionFrame(TYPE[name], length, standing)
          }
          if (allowed && length >= min && length <= max) check()
          else assert.throws(check, { code: 'ERR_PROTOCOL_VIOLATION' })
        }
      }
    })
  }

  it('knows no other', () => {
    for (const type of [0, 8, 0x0f]) {
      for (const standing of [true, false]) {
        assert.throws(
          () => {
            checkSessionFrame(type, 8, standing)
          },
          { code: 'ERR_PROTOCOL_VIOLATION' },
        )
      }
    }
  })
})
