import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { joinWords, splitWords } from '../../transports/internal/command-words.ts'
import { formatHostPort } from '../../src/runtime/host-port.ts'
import { parseTcpAddress } from '../../transports/internal/tcp-address.ts'
import { MAX_SOCKET_PATH_BYTES } from '../../transports/internal/unix-address.ts'
import { memory, memoryPair } from '../../transports/memory.ts'
import { exec, stdio } from '../../transports/stdio.ts'
import { tcp } from '../../transports/tcp.ts'
import { unix } from '../../transports/unix.ts'

/**
 * Each must be refused at once, with the code of an address that is none, and shown in the message.
 */
function refusesAll(make: (address: string) => unknown, addresses: readonly string[]): void {
  for (const address of addresses) {
    assert.throws(
      () => make(address),
      (error: Error & { code?: string }) => {
        assert.equal(error.code, 'ERR_ADDRESS_INVALID', address)
        assert.ok(error.message.includes(JSON.stringify(address).slice(1, -1)), `${error.message} shows ${address}`)
        return true
      },
      address,
    )
  }
}

const refusesOptions = (make: () => unknown): void => {
  assert.throws(make, { code: 'ERR_BAD_ARGUMENT' })
}

describe('tcp addresses', () => {
  it('are a host in full and a port', () => {
    const written = (address: string): string => tcp(address).address
    assert.equal(written('tcp://127.0.0.1:7000'), 'tcp://127.0.0.1:7000')
    assert.equal(written('tcp://:7000'), 'tcp://127.0.0.1:7000')
    assert.equal(written('tcp://[::1]:0'), 'tcp://[::1]:0')
    assert.equal(written('tcp://vm-7.example.org:65535'), 'tcp://vm-7.example.org:65535')
    assert.equal(tcp({ port: 1 }).address, 'tcp://127.0.0.1:1')
    assert.equal(tcp({ host: 'fe80::1', port: 1 }).address, 'tcp://[fe80::1]:1')
  })

  it('with a port that is none are refused [R-105]', () => {
    const ports = [
      '',
      '-1',
      '65536',
      '80x',
      'x',
      '22.5',
      '1e3',
      '0x50',
      '+80',
      ' 80',
      '80 ',
      '080',
      '99999999999999999999',
      '８０',
    ]
    refusesAll(tcp, [...ports.map((port) => `tcp://127.0.0.1:${port}`), 'tcp://127.0.0.1', 'tcp://:', 'tcp://'])
    for (const port of [-1, 65_536, 22.5, NaN, '80', undefined, null])
      refusesOptions(() => tcp({ port: port as number }))
  })

  it('with a host that is none, or that resolvers read in their own way, are refused [R-115]', () => {
    const hosts = [
      '127.1',
      '0x7f.1',
      '2130706433',
      '017700000001',
      '127.0.0.0x1',
      '127。0。0。1',
      '127.0.0.1\0evil',
      '1.2.3.4.5',
      '256.1.1.1',
    ]
    const others = [
      'a b',
      '-x',
      'a..b',
      '.',
      '/run/x.sock',
      'ä.de',
      'x'.repeat(64),
      `${'x.'.repeat(130)}y`,
      '[::1',
      '::1',
      '[]',
      '[127.0.0.1]',
      '[::1]x',
      '%31',
    ]
    refusesAll(
      tcp,
      [...hosts, ...others].map((host) => `tcp://${host}:80`),
    )
    for (const host of [...hosts, '', '[::1]', { path: '/x' }, 7, ['::1']]) {
      refusesOptions(() => tcp({ host: host as string, port: 80 }))
    }
  })

  it('with anything besides are refused', () => {
    refusesAll(tcp, [
      'tcp://user@127.0.0.1:80',
      'tcp://user:secret@127.0.0.1:80',
      'tcp://127.0.0.1:80/',
      'tcp://127.0.0.1:80/path',
      'tcp://127.0.0.1:80?x=1',
      'tcp://127.0.0.1:80#x',
      'tcp://127.0.0.1:80\n',
      'tcp:127.0.0.1:80',
      'TCP://127.0.0.1:80',
      ' tcp://127.0.0.1:80',
      'unix:///x',
      '',
    ])
  })

  it('dial no port 0', async () => {
    const connecting = tcp('tcp://:0').connect({ signal: new AbortController().signal } as never)
    await assert.rejects(connecting, { code: 'ERR_ADDRESS_INVALID' })
  })
})

describe('unix addresses', () => {
  it('are absolute paths', () => {
    assert.equal(unix('unix:///run/x.sock').address, 'unix:///run/x.sock')
    assert.equal(unix('unix:///run/a%25b%3Fc.sock').address, 'unix:///run/a%25b%3Fc.sock')
    assert.equal(unix('unix:///run/x.sock?group=kvm').address, 'unix:///run/x.sock?group=kvm')
    assert.equal(unix({ path: '/run/x', mode: 0o666 }).address, 'unix:///run/x?mode=0666')
    assert.equal(unix({ path: '/run/100%#1.sock' }).address, 'unix:///run/100%25%231.sock')
    assert.equal(unix({ path: 'x.sock' }).address, `unix://${process.cwd()}/x.sock`)
  })

  it('that are no path of a socket are refused', () => {
    const long = `/${'x'.repeat(MAX_SOCKET_PATH_BYTES)}`
    const umlauts = `/${'ä'.repeat(MAX_SOCKET_PATH_BYTES / 2 + 1)}`
    refusesAll(unix, [
      ...['unix:', 'unix://', 'unix:///', 'unix:/run/x', 'unix://host/x', 'unix://user@/x', 'unix://x.sock', ''],
      ...[
        'unix:///x?mode=',
        'unix:///x?mode=0660&mode=0660',
        'unix:///x?group=a:b',
        'unix:///x?',
        'unix:///x?mode=1660',
      ],
      ...['unix:///x?y', 'unix:///x#y', 'unix:///x%', 'unix:///x%zz', 'unix:///x%00y', 'unix:///x\0y', 'unix:///dir/'],
      ...[`unix://${long}`, `unix://${umlauts}`, 'tcp://127.0.0.1:80'],
    ])
    for (const path of ['', '/x\0y', '\0abstract', long, 7, undefined])
      refusesOptions(() => unix({ path: path as string }))
  })

  it('may be as long as the kernel takes', () => {
    const longest = `/${'x'.repeat(MAX_SOCKET_PATH_BYTES - 1)}`
    assert.equal(unix({ path: longest }).address, `unix://${longest}`)
  })
})

describe('memory addresses', () => {
  it('are names', () => {
    assert.equal(memory('memory:a.B_c-9').address, 'memory:a.B_c-9')
    refusesAll(memory, ['memory:', 'memory:a b', 'memory:a/b', 'memory:\0', `memory:${'x'.repeat(65)}`, 'memory', ''])
    for (const name of ['', 'a/b', 7, undefined]) refusesOptions(() => memory({ name: name as string }))
    for (const bufferBytes of [0, -1, 1.5, NaN, 2 ** 25]) {
      refusesOptions(() => memory({ name: 'x', bufferBytes }))
      refusesOptions(() => memoryPair({ bufferBytes }))
    }
  })
})

describe('stdio and exec addresses', () => {
  it('are stdio: alone, and a command in words', () => {
    assert.equal(stdio('stdio:').address, 'stdio:')
    refusesAll(stdio, ['stdio', 'stdio://', 'stdio:x', ''])
    assert.equal(exec('exec:ssh host trunkline serve stdio:').address, 'exec:ssh host trunkline serve stdio:')
    assert.equal(exec({ command: 'a b', args: ["it's", ''] }).address, "exec:'a b' 'it'\\''s' ''")
    refusesAll(exec, ['exec:', 'exec:  ', "exec:''", 'exec:"a', "exec:a 'b", 'exec:a\\', 'exec:a\0b', 'execute:a', ''])
    refusesOptions(() => exec({ command: '' }))
    refusesOptions(() => exec({ command: 'a\0b' }))
    refusesOptions(() => exec({ command: 'a', args: [7 as never] }))
  })

  it('cut words as a shell does, and expand nothing', () => {
    assert.deepEqual(splitWords('  a  b\tc\n'), ['a', 'b', 'c'])
    assert.deepEqual(splitWords(`'a b' "c d" e\\ f g'h'"i"j`), ['a b', 'c d', 'e f', 'ghij'])
    assert.deepEqual(splitWords(String.raw`"a\"b\\c\d" '\'`), ['a"b\\c\\d', '\\'])
    assert.deepEqual(splitWords('$HOME `x` * ~ ; | & > "" #'), ['$HOME', '`x`', '*', '~', ';', '|', '&', '>', '', '#'])
  })

  it('survive being joined and cut again', () => {
    const words = ['plain', '', ' ', "'", '"', '\\', 'a b', "it's", '$x', 'ä\n', "''\\''"]
    assert.deepEqual(splitWords(joinWords(words)), words)
  })
})

describe('a tcp address with a zone', () => {
  it('is read as URLs have it and as people write it, and written as URLs have it [R-429]', () => {
    for (const address of ['tcp://[fe80::1%25eth0]:7000', 'tcp://[fe80::1%eth0]:7000']) {
      assert.deepEqual(parseTcpAddress(address), { host: 'fe80::1%eth0', port: 7000 })
    }
    assert.equal(formatHostPort('fe80::1%eth0', 7000), '[fe80::1%25eth0]:7000')
  })
})
