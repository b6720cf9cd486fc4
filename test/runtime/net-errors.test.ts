import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { TrunkError } from '../../src/contracts/errors.ts'
import { connectError, linkError, listenError } from '../../src/runtime/net-errors.ts'

const system = (code: string): Error => Object.assign(new Error(`${code} /secret/path`), { code })

describe('network errors', () => {
  it('of dialling have a code each [R-108]', () => {
    const expected = {
      ECONNREFUSED: 'ERR_CONNECT_REFUSED',
      ENOENT: 'ERR_CONNECT_REFUSED',
      EPIPE: 'ERR_CONNECT_REFUSED',
      ENODEV: 'ERR_CONNECT_UNREACHABLE',
      EHOSTUNREACH: 'ERR_CONNECT_UNREACHABLE',
      ENETUNREACH: 'ERR_CONNECT_UNREACHABLE',
      ETIMEDOUT: 'ERR_CONNECT_TIMEOUT',
      ENOTFOUND: 'ERR_NAME_NOT_FOUND',
      EAI_AGAIN: 'ERR_NAME_NOT_FOUND',
      EAI_FAIL: 'ERR_NAME_NOT_FOUND',
      EACCES: 'ERR_DENIED',
      EPERM: 'ERR_DENIED',
      EADDRNOTAVAIL: 'ERR_ADDRESS_UNAVAILABLE',
      EWHATEVER: 'ERR_CONNECT_UNREACHABLE',
    }
    for (const [code, wanted] of Object.entries(expected))
      assert.equal(connectError(system(code), 'x:1').code, wanted, code)
  })

  it('of listening have a code each [R-113]', () => {
    const expected = {
      EADDRINUSE: 'ERR_ADDRESS_IN_USE',
      EADDRNOTAVAIL: 'ERR_ADDRESS_UNAVAILABLE',
      EACCES: 'ERR_BIND_DENIED',
      EPERM: 'ERR_BIND_DENIED',
      EAI_AGAIN: 'ERR_NAME_NOT_FOUND',
      EWHATEVER: 'ERR_ADDRESS_UNAVAILABLE',
    }
    for (const [code, wanted] of Object.entries(expected))
      assert.equal(listenError(system(code), 'x:1').code, wanted, code)
  })

  it('of a line that stood are of scope link [R-118] [R-132]', () => {
    const expected = {
      ECONNRESET: 'ERR_LINK_RESET',
      EPIPE: 'ERR_LINK_RESET',
      ETIMEDOUT: 'ERR_LINK_LOST',
      EWHATEVER: 'ERR_LINK_FAILED',
    }
    for (const [code, wanted] of Object.entries(expected)) {
      const error = linkError(system(code))
      assert.equal(error.code, wanted, code)
      assert.equal(error.scope, 'link')
    }
    assert.equal(linkError('not even an error').code, 'ERR_LINK_FAILED')
  })

  it('name the target, keep the cause, and repeat nothing of its message [R-099]', () => {
    const cause = system('ECONNREFUSED')
    const error = connectError(cause, 'db:5432')
    assert.equal(error.message, 'cannot connect to db:5432: nobody listens there')
    assert.equal(error.cause, cause)
    assert.equal(error.scope, 'pipe')
    assert.equal(connectError(cause, 'db:5432', 'link').scope, 'link')
  })

  it('that have a code of ours stay as they are; several attempts count as their first', () => {
    const ours = new TrunkError('ERR_DENIED', 'no')
    for (const map of [connectError, listenError]) assert.equal(map(ours, 'x'), ours)
    assert.equal(linkError(ours), ours)
    assert.equal(connectError(new AggregateError([system('ETIMEDOUT')]), 'x').code, 'ERR_CONNECT_TIMEOUT')
  })
})
