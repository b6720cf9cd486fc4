import assert from 'node:assert/strict'
import { mkdirSync, realpathSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { parseAddress, requireAddress } from '../../../protocols/unix/address.ts'
import { socketPolicy } from '../../../protocols/unix/policy.ts'
import { temporaryFolder } from '../../helpers/temporary-folder.ts'

/** Whether `rules` allow `path`. */
function allows(rules: (string | Uint8Array)[], path: string | Uint8Array): boolean {
  const policy = socketPolicy(rules)
  const address = requireAddress(path)
  return address.type === 'abstract' ? policy.allowsAbstract(address.name) : policy.placeOf(address) !== undefined
}

describe('addresses of unix sockets', () => {
  it('are absolute paths and abstract names, in one spelling', () => {
    for (const good of [
      '/run/docker.sock',
      '/a',
      '@name',
      '\0name',
      '@a\0b',
      '/with space:and colon\n',
      `@${'x'.repeat(107)}`,
    ]) {
      assert.equal(parseAddress(good).ok, true, JSON.stringify(good))
    }
    const bad = [
      '',
      '/',
      'relative',
      './x',
      '/a/../b',
      '/a/./b',
      '/a//b',
      '/a/',
      '/a\0b',
      '@',
      '\0',
      `@${'x'.repeat(108)}`,
    ]
    for (const text of [...bad, '/\uD800', `/${'x'.repeat(256)}`]) {
      assert.equal(parseAddress(text).ok, false, JSON.stringify(text))
    }
    assert.equal(parseAddress(Buffer.of(0x2f, 0xff, 0xfe)).ok, true)
    assert.throws(() => requireAddress('/a/..'), { code: 'ERR_BAD_ARGUMENT' })
    assert.throws(() => requireAddress(7), { code: 'ERR_BAD_ARGUMENT' })
  })
})

describe('rules of unix sockets', () => {
  it('deny everything that none of them names [R-650]', () => {
    assert.equal(allows([], '/run/docker.sock'), false)
    for (const [rule, path, answer] of [
      ['/run/docker.sock', '/run/docker.sock', true],
      ['/run/docker.sock', '/run/docker.sock2', false],
      ['/run/docker.sock', '/run/docker.sock/x', false],
      ['/run/docker.sock', '/run/other', false],
      ['/run/*.sock', '/run/a.sock', true],
      ['/run/*.sock', '/run/.sock', true],
      ['/run/*.sock', '/run/a/b.sock', false],
      ['/run/*.sock', '/run/sock', false],
      ['/run/a*a', '/run/a', false],
      ['/run/', '/run/a/b/c', true],
      ['/run/', '/run', false],
      ['/run/', '/running/a', false],
      ['/', '/a', true],
      ['/', '@a', false],
      ['@a', '@a', true],
      ['@a', '@ab', false],
      ['@a', '/a', false],
      ['@a-*', '@a-1', true],
      ['@*', '@anything', true],
    ] as const) {
      assert.equal(allows([rule], path), answer, `${rule} ${path}`)
    }
    assert.equal(allows([Buffer.from([0x2f, 0xff])], Buffer.from([0x2f, 0xff])), true)
    assert.equal(allows([Buffer.from([0x2f, 0xff])], '/\uFFFD'), false)
  })

  it('take a folder as it is written and as it really is', () => {
    const top = realpathSync(temporaryFolder())
    mkdirSync(join(top, 'run'))
    symlinkSync('run', join(top, 'var'))
    const written = join(top, 'var', 'a.sock')
    const real = join(top, 'run', 'a.sock')
    assert.equal(allows([written], written), true)
    assert.equal(allows([written], real), true)
    assert.equal(allows([real], written), false)
  })

  it('are refused at once where they are none', () => {
    for (const rule of ['relative', '/a/*/b', '/a/**', '/a/../b', '@', '', '/a//b', '/a*/', 7]) {
      assert.throws(() => socketPolicy([rule as string]), { code: 'ERR_BAD_ARGUMENT' }, String(rule))
    }
    assert.throws(() => socketPolicy('/run/x' as unknown as string[]), { code: 'ERR_BAD_ARGUMENT' })
  })
})
