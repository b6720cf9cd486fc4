import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { TrunkError } from '../../../src/contracts/errors.ts'
import { clientPath, nameFlaw, printablePath, splitPath } from '../../../protocols/filesystem/path.ts'
import { hostilePaths } from './hostile-paths.ts'

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const names = (path: string): string[] | string => {
  const result = splitPath(bytes(path))
  return result.ok ? result.names.map((name) => new TextDecoder().decode(name)) : result.why
}

describe('a path', () => {
  it('is names between slashes, with one leading slash at will', () => {
    assert.deepEqual(names('a/b/c'), ['a', 'b', 'c'])
    assert.deepEqual(names('/a/b'), ['a', 'b'])
    assert.deepEqual(names(' /\n'), [' ', '\n'])
    assert.deepEqual(names('...'), ['...'])
    assert.deepEqual(names('.hidden/..x'), ['.hidden', '..x'])
  })

  it('has backslashes in its names as it has other bytes [R-439]', () => {
    for (const path of ['\\', '..\\', '..\\..\\windows', 'C:\\windows', '\\\\host\\share'])
      assert.deepEqual(names(path), [path])
    assert.deepEqual(names('a\\b/c'), ['a\\b', 'c'])
  })

  it('is the root when it is empty or one slash', () => {
    assert.deepEqual(names(''), [])
    assert.deepEqual(names('/'), [])
  })

  it('is refused in each hostile spelling [R-081]', () => {
    assert.ok(hostilePaths.length >= 40, `${hostilePaths.length} spellings`)
    for (const path of hostilePaths) assert.equal(splitPath(path).ok, false, printablePath(path))
  })

  it('reaches its bounds and not beyond [R-004]', () => {
    assert.equal(splitPath(bytes('n'.repeat(255))).ok, true)
    assert.equal(splitPath(bytes('n'.repeat(256))).ok, false)
    assert.equal(splitPath(bytes(Array(512).fill('d').join('/'))).ok, true)
    assert.equal(splitPath(bytes(Array(513).fill('d').join('/'))).ok, false)
    const longest = Array(16).fill('n'.repeat(255)).join('/')
    assert.equal(splitPath(bytes(`/${longest}`)).ok, true)
    assert.equal(splitPath(bytes(`${longest}/n`)).ok, false)
  })

  it('loses its leading slash and nothing else on the way', () => {
    assert.deepEqual(clientPath('/ä').bytes, bytes('ä'))
    assert.deepEqual(clientPath(Uint8Array.of(0xff, 0x2f, 0xfe)).bytes, Uint8Array.of(0xff, 0x2f, 0xfe))
  })

  it('refuses text without bytes, and values that are no path', () => {
    assert.throws(() => clientPath('a\ud800'), withCode('ERR_PATH_INVALID'))
    assert.throws(() => clientPath('a/../b'), withCode('ERR_PATH_INVALID'))
    assert.throws(() => clientPath(7 as unknown as string), withCode('ERR_BAD_ARGUMENT'))
  })

  it('cannot drive a terminal when it is shown', () => {
    assert.equal(printablePath(bytes('a\u001b[2Jb')), 'a\ufffd[2Jb')
    assert.equal(printablePath(bytes('')), '/')
  })
})

describe('a listed name', () => {
  it('is one name: anything that is a path, or climbs, is a flaw', () => {
    for (const bad of ['', '.', '..', 'a/b', '/', 'a\0', 'n'.repeat(256)])
      assert.notEqual(nameFlaw(bytes(bad)), undefined, bad)
    assert.equal(nameFlaw(bytes('a\\b'), 'linux'), undefined)
    assert.notEqual(nameFlaw(bytes('a\\b'), 'win32'), undefined)
    for (const good of ['a', '...', 'n'.repeat(255), 'a b', '-rf']) assert.equal(nameFlaw(bytes(good)), undefined, good)
  })
})

function withCode(code: string) {
  return (error: unknown): boolean => error instanceof TrunkError && error.code === code
}
