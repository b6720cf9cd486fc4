/** What clients say to the proxy: each language in every chunking, its bounds, and garbage. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { TrunkError } from '../../../src/index.ts'
import {
  failureReply,
  Handshake,
  successReply,
  type HandshakeOptions,
  type Progress,
} from '../../../protocols/proxy/handshake.ts'
import { CHUNKINGS, splitAt } from '../../helpers/chunkings.ts'
import { seeded, seededBytes } from '../../helpers/link-traffic.ts'

const ascii = (text: string): Buffer => Buffer.from(text, 'latin1')
const NO_LOGIN = Buffer.of(5, 1, 0)
const port = (number: number): number[] => [number >> 8, number & 0xff]
/** A SOCKS5 request. */
const asks = (type: number, address: Iterable<number>, to: number, command = 1): Buffer =>
  Buffer.of(5, command, 0, type, ...address, ...port(to))
const named = (name: string, to: number): Buffer => asks(3, [name.length, ...ascii(name)], to)
/** A SOCKS4 request; with a name, of SOCKS4a. */
const asks4 = (address: number[], to: number, user = '', name?: string): Buffer =>
  Buffer.of(4, 1, ...port(to), ...address, ...ascii(user), 0, ...(name === undefined ? [] : [...ascii(name), 0]))

/** What came of all chunks: the replies, one behind the other, and the last word. */
interface Said {
  readonly reply: Buffer
  readonly last: Progress
  /** What came behind the request. */
  readonly rest: Buffer
}

function say(chunks: readonly Uint8Array[], options: HandshakeOptions = {}): Said {
  const handshake = new Handshake(options)
  const replies: Uint8Array[] = []
  let last: Progress = { state: 'more', reply: new Uint8Array(0) }
  for (const [index, chunk] of chunks.entries()) {
    last = handshake.push(chunk)
    replies.push(last.reply)
    if (last.state !== 'more') {
      const rest = last.state === 'request' ? [last.rest, ...chunks.slice(index + 1)] : []
      return { reply: Buffer.concat(replies), last, rest: Buffer.concat(rest) }
    }
  }
  return { reply: Buffer.concat(replies), last, rest: Buffer.alloc(0) }
}

const wanted = ({ last }: Said): string =>
  last.state === 'request' ? `${last.request.dialect} ${last.request.to.host} ${last.request.to.port}` : last.state
const codeOf = ({ last }: Said): string => (last.state === 'refused' ? last.error.code : last.state)
const FULL_V6 = [0x20, 1, 0xd, 0xb8, ...Array.from({ length: 11 }, () => 0), 1]
const MAPPED = [...Array.from({ length: 10 }, () => 0), 0xff, 0xff, 127, 0, 0, 1]
const LONG_NAME = `${'a'.repeat(63)}.${'b'.repeat(63)}.${'c'.repeat(63)}.${'d'.repeat(61)}`

/** Each kind of request: what is said, what is understood, and what is answered before it. */
const REQUESTS: readonly (readonly [what: string, bytes: Buffer, wanted: string, reply: number[], options?: object])[] =
  [
    ['SOCKS5, IPv4', Buffer.concat([NO_LOGIN, asks(1, [10, 0, 0, 1], 80)]), 'socks5 10.0.0.1 80', [5, 0]],
    ['SOCKS5, IPv6', Buffer.concat([NO_LOGIN, asks(4, FULL_V6, 443)]), 'socks5 2001:db8::1 443', [5, 0]],
    ['SOCKS5, IPv4 in IPv6', Buffer.concat([NO_LOGIN, asks(4, MAPPED, 1)]), 'socks5 127.0.0.1 1', [5, 0]],
    ['SOCKS5, a name', Buffer.concat([NO_LOGIN, named('Example.ORG.', 65_535)]), 'socks5 example.org 65535', [5, 0]],
    ['SOCKS5, the longest name', Buffer.concat([NO_LOGIN, named(LONG_NAME, 80)]), `socks5 ${LONG_NAME} 80`, [5, 0]],
    ['SOCKS5, many ways to log in', Buffer.concat([Buffer.of(5, 3, 1, 2, 0), named('a', 1)]), 'socks5 a 1', [5, 0]],
    [
      'SOCKS5, a password',
      Buffer.concat([Buffer.of(5, 2, 0, 2), Buffer.of(1, 2), ascii('me'), Buffer.of(3), ascii('a:b'), named('a', 1)]),
      'socks5 a 1',
      [5, 2, 1, 0],
      { login: 'me:a:b' },
    ],
    ['SOCKS4', asks4([10, 0, 0, 1], 80, 'somebody'), 'socks4 10.0.0.1 80', []],
    ['SOCKS4a', asks4([0, 0, 0, 1], 80, 'somebody', 'example.org'), 'socks4 example.org 80', []],
    ['CONNECT', ascii('CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n'), 'http example.org 443', []],
    ['CONNECT of HTTP/1.0, IPv6', ascii('CONNECT [2001:db8::1]:443 HTTP/1.0\r\n\r\n'), 'http 2001:db8::1 443', []],
    [
      'CONNECT with a password',
      ascii('CONNECT a:1 HTTP/1.1\r\nProxy-Authorization: Basic bWU6YTpi\r\n\r\n'),
      'http a 1',
      [],
      { login: 'me:a:b' },
    ],
    [
      'an absolute URL',
      ascii('GET http://example.org/a?b HTTP/1.1\r\n\r\n'),
      'http example.org 80',
      [],
      { http: true },
    ],
  ]

describe('the proxy’s handshake', () => {
  for (const [what, bytes, want, reply, options] of REQUESTS) {
    it(`understands ${what} however it is cut, and takes nothing of what comes behind [R-521]`, () => {
      const behind = Buffer.from('behind \0 it\r\n\r\n')
      const all = Buffer.concat([bytes, behind])
      const everywhere = Array.from({ length: all.byteLength - 1 }, (_, index) => splitAt(index + 1))
      for (const chunking of [...CHUNKINGS, ...everywhere]) {
        const said = say(chunking.cut(all), options)
        assert.equal(wanted(said), want, chunking.name)
        assert.deepEqual([...said.reply], reply, chunking.name)
        assert.equal(said.rest.toString(), behind.toString(), chunking.name)
      }
      for (let length = 1; length < bytes.byteLength; length++)
        assert.equal(say([bytes.subarray(0, length)], options).last.state, 'more', `${length} bytes of it`)
    })
  }

  /** What is refused, with the answer's last bytes and the code. */
  const REFUSALS: readonly (readonly [
    what: string,
    bytes: Buffer,
    reply: number[] | RegExp,
    code: string,
    options?: object,
  ])[] = [
    ['BIND', Buffer.concat([NO_LOGIN, asks(1, [1, 2, 3, 4], 80, 2)]), [5, 0, 5, 7], 'ERR_MESSAGE_INVALID'],
    ['UDP ASSOCIATE', Buffer.concat([NO_LOGIN, asks(1, [1, 2, 3, 4], 80, 3)]), [5, 0, 5, 7], 'ERR_MESSAGE_INVALID'],
    ['an unknown type of address', Buffer.concat([NO_LOGIN, asks(2, [], 80)]), [5, 0, 5, 8], 'ERR_MESSAGE_INVALID'],
    ['a name of no bytes', Buffer.concat([NO_LOGIN, named('', 80)]), [5, 0, 5, 1], 'ERR_MESSAGE_INVALID'],
    ['a name of 255 bytes', Buffer.concat([NO_LOGIN, named('a'.repeat(255), 80)]), [5, 0, 5, 1], 'ERR_MESSAGE_INVALID'],
    ['a zone', Buffer.concat([NO_LOGIN, named('fe80::1%eth0', 80)]), [5, 0, 5, 1], 'ERR_MESSAGE_INVALID'],
    ['a number in disguise', Buffer.concat([NO_LOGIN, named('0x7f.1', 80)]), [5, 0, 5, 1], 'ERR_MESSAGE_INVALID'],
    ['a name with a NUL', Buffer.concat([NO_LOGIN, named('a\0b', 80)]), [5, 0, 5, 1], 'ERR_MESSAGE_INVALID'],
    ['port 0', Buffer.concat([NO_LOGIN, named('a', 0)]), [5, 0, 5, 1], 'ERR_MESSAGE_INVALID'],
    ['no way to log in', Buffer.of(5, 0), [5, 0xff], 'ERR_DENIED'],
    ['a login that nobody asks for', Buffer.of(5, 1, 2), [5, 0xff], 'ERR_DENIED'],
    ['no login', NO_LOGIN, [5, 0xff], 'ERR_DENIED', { login: 'me:you' }],
    [
      'a wrong password',
      Buffer.concat([Buffer.of(5, 1, 2), Buffer.of(1, 2), ascii('me'), Buffer.of(1), ascii('x')]),
      [5, 2, 1, 1],
      'ERR_DENIED',
      { login: 'me:you' },
    ],
    ['SOCKS4 where there is a password', asks4([1, 2, 3, 4], 80), [0, 0x5b], 'ERR_DENIED', { login: 'me:you' }],
    ['SOCKS4, BIND', Buffer.of(4, 2, 0, 80, 1, 2, 3, 4, 0), [0, 0x5b], 'ERR_MESSAGE_INVALID'],
    [
      'SOCKS4, a user without an end',
      Buffer.concat([Buffer.of(4, 1, 0, 80, 1, 2, 3, 4), Buffer.alloc(504, 65)]),
      [0, 0x5b],
      'ERR_MESSAGE_INVALID',
    ],
    [
      'SOCKS4a, a name without an end',
      Buffer.concat([Buffer.of(4, 1, 0, 80, 0, 0, 0, 4, 0), Buffer.alloc(503, 65)]),
      [0, 0x5b],
      'ERR_MESSAGE_INVALID',
    ],
    ['a first byte that is of no language', ascii('\x16\x03\x01'), [], 'ERR_MESSAGE_INVALID'],
    ['a small letter', ascii('get / HTTP/1.1\r\n\r\n'), [], 'ERR_MESSAGE_INVALID'],
    [
      'GET where only CONNECT is served',
      ascii('GET http://a/ HTTP/1.1\r\n\r\n'),
      /^HTTP\/1\.1 405 .*\r\nallow: CONNECT\r\n/s,
      'ERR_MESSAGE_INVALID',
    ],
    [
      'GET of a path',
      ascii('GET / HTTP/1.1\r\nHost: a\r\n\r\n'),
      /^HTTP\/1\.1 400 /,
      'ERR_MESSAGE_INVALID',
      { http: true },
    ],
    [
      'GET of another scheme',
      ascii('GET https://a/ HTTP/1.1\r\n\r\n'),
      /^HTTP\/1\.1 400 /,
      'ERR_MESSAGE_INVALID',
      { http: true },
    ],
    [
      'a user in a URL',
      ascii('GET http://me@a/ HTTP/1.1\r\n\r\n'),
      /^HTTP\/1\.1 400 /,
      'ERR_MESSAGE_INVALID',
      { http: true },
    ],
    ['CONNECT without a port', ascii('CONNECT a HTTP/1.1\r\n\r\n'), /^HTTP\/1\.1 400 /, 'ERR_MESSAGE_INVALID'],
    ['CONNECT to port 65536', ascii('CONNECT a:65536 HTTP/1.1\r\n\r\n'), /^HTTP\/1\.1 400 /, 'ERR_MESSAGE_INVALID'],
    ['CONNECT to a URL', ascii('CONNECT http://a:1/ HTTP/1.1\r\n\r\n'), /^HTTP\/1\.1 400 /, 'ERR_MESSAGE_INVALID'],
    ['HTTP/2.0', ascii('PRI * HTTP/2.0\r\n\r\n'), /^HTTP\/1\.1 400 /, 'ERR_MESSAGE_INVALID'],
    ['a folded field', ascii('CONNECT a:1 HTTP/1.1\r\na: b\r\n c\r\n\r\n'), /^HTTP\/1\.1 400 /, 'ERR_MESSAGE_INVALID'],
    [
      'a bare line feed in a field',
      ascii('CONNECT a:1 HTTP/1.1\r\na: b\nc: d\r\n\r\n'),
      /^HTTP\/1\.1 400 /,
      'ERR_MESSAGE_INVALID',
    ],
    [
      'a blank before the colon',
      ascii('CONNECT a:1 HTTP/1.1\r\na : b\r\n\r\n'),
      /^HTTP\/1\.1 400 /,
      'ERR_MESSAGE_INVALID',
    ],
    [
      'a head without an end',
      Buffer.concat([ascii('CONNECT a:1 HTTP/1.1\r\nx: '), Buffer.alloc(8_192, 65)]),
      /^HTTP\/1\.1 431 /,
      'ERR_MESSAGE_INVALID',
    ],
    [
      'no login in HTTP',
      ascii('CONNECT a:1 HTTP/1.1\r\n\r\n'),
      /^HTTP\/1\.1 407 .*\r\nproxy-authenticate: Basic /s,
      'ERR_DENIED',
      { login: 'me:you' },
    ],
    [
      'a wrong login in HTTP',
      ascii('CONNECT a:1 HTTP/1.1\r\nProxy-Authorization: Basic bWU6bWU=\r\n\r\n'),
      /^HTTP\/1\.1 407 /,
      'ERR_DENIED',
      { login: 'me:you' },
    ],
    [
      'two lengths',
      ascii('PUT http://a/ HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n'),
      /^HTTP\/1\.1 400 /,
      'ERR_MESSAGE_INVALID',
      { http: true },
    ],
    [
      'a length of two values',
      ascii('PUT http://a/ HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\n'),
      /^HTTP\/1\.1 400 /,
      'ERR_MESSAGE_INVALID',
      { http: true },
    ],
    [
      'a length that is none',
      ascii('PUT http://a/ HTTP/1.1\r\nContent-Length: +1\r\n\r\n'),
      /^HTTP\/1\.1 400 /,
      'ERR_MESSAGE_INVALID',
      { http: true },
    ],
    [
      'a length beside chunks',
      ascii('PUT http://a/ HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n'),
      /^HTTP\/1\.1 400 /,
      'ERR_MESSAGE_INVALID',
      { http: true },
    ],
    [
      'another coding than chunks',
      ascii('PUT http://a/ HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n'),
      /^HTTP\/1\.1 400 /,
      'ERR_MESSAGE_INVALID',
      { http: true },
    ],
    [
      'chunks in HTTP/1.0',
      ascii('PUT http://a/ HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n'),
      /^HTTP\/1\.1 400 /,
      'ERR_MESSAGE_INVALID',
      { http: true },
    ],
  ]
  for (const [what, bytes, reply, code, options] of REFUSALS) {
    it(`refuses ${what} in the client’s own words, however it is cut [R-522]`, () => {
      for (const chunking of CHUNKINGS) {
        const said = say(chunking.cut(bytes), options)
        assert.equal(codeOf(said), code, chunking.name)
        if (reply instanceof RegExp) assert.match(said.reply.toString('latin1'), reply)
        else
          assert.deepEqual(
            [...said.reply].slice(0, Math.max(reply.length, said.reply.length > 0 ? reply.length : 0)),
            reply,
            chunking.name,
          )
        if (!(reply instanceof RegExp) && reply.length === 0) assert.equal(said.reply.byteLength, 0)
      }
    })
  }

  it('ends by itself for whatever comes, within its bounds [R-523]', () => {
    const rounds = 10_000
    const outcomes = { more: 0, request: 0, refused: 0 }
    const starts = [NO_LOGIN, Buffer.of(5), Buffer.of(4, 1), ascii('CONNECT '), ascii('GET http://'), Buffer.alloc(0)]
    for (let seed = 1; seed <= rounds; seed++) {
      const next = seeded(seed)
      const begin = starts[next() % starts.length] ?? NO_LOGIN
      const bytes = Buffer.concat([begin, seededBytes(seed, next() % 600)])
      const options = { http: next() % 2 === 0, ...(next() % 3 === 0 && { login: 'a:b' }) }
      try {
        const whole = say([bytes], options)
        outcomes[whole.last.state] += 1
        const cut = say(CHUNKINGS[next() % CHUNKINGS.length]?.cut(bytes) ?? [], options)
        if (bytes.byteLength > 0)
          assert.deepEqual([wanted(cut), cut.reply, cut.rest], [wanted(whole), whole.reply, whole.rest])
        // nothing but a head of HTTP may still wait after so much
        if (whole.last.state === 'more' && bytes.byteLength > 520) assert.ok(/^[A-Z]/.test(bytes.toString('latin1')))
      } catch (error) {
        throw new Error(`seed ${seed} of test/protocols/proxy/handshake.test.ts`, { cause: error })
      }
    }
    for (const [state, count] of Object.entries(outcomes)) assert.ok(count > 20, `${state} came ${count} times`)
  })

  it('refuses each first byte that is of no language, 10,000 times [R-523]', () => {
    for (let seed = 1; seed <= 10_000; seed++) {
      const bytes = seededBytes(seed, 1 + (seed % 40))
      const [first = 0] = bytes
      if (first === 4 || first === 5 || (first >= 65 && first <= 90)) continue
      const said = say([bytes])
      assert.deepEqual([codeOf(said), said.reply.byteLength], ['ERR_MESSAGE_INVALID', 0], `seed ${seed}`)
    }
  })

  it('answers what became of the connection in each language', () => {
    const request = (bytes: Buffer, options?: object) => {
      const { last } = say([bytes], options)
      assert.ok(last.state === 'request')
      return last.request
    }
    const socks5 = request(Buffer.concat([NO_LOGIN, named('a', 1)]))
    const socks4 = request(asks4([1, 2, 3, 4], 80))
    const tunnel = request(ascii('CONNECT a:1 HTTP/1.1\r\n\r\n'))
    const passed = request(ascii('GET http://a/ HTTP/1.1\r\n\r\n'), { http: true })
    const bound = { address: '10.0.0.1', port: 0x1234 }
    assert.deepEqual([...successReply(socks5, bound)], [5, 0, 0, 1, 10, 0, 0, 1, 0x12, 0x34])
    assert.deepEqual([...successReply(socks5, { address: '2001:db8::1', port: 1 })], [5, 0, 0, 4, ...FULL_V6, 0, 1])
    assert.deepEqual([...successReply(socks5, { address: 'nonsense', port: 1 })], [5, 0, 0, 1, 0, 0, 0, 0, 0, 1])
    assert.deepEqual([...successReply(socks4, bound)], [0, 0x5a, 0, 0, 0, 0, 0, 0])
    assert.equal(Buffer.from(successReply(tunnel)).toString(), 'HTTP/1.1 200 Connection established\r\n\r\n')
    assert.equal(successReply(passed).byteLength, 0)
    const failures = [
      ['ERR_DENIED', 2, 403],
      ['ERR_CONNECT_REFUSED', 5, 502],
      ['ERR_CONNECT_UNREACHABLE', 4, 502],
      ['ERR_CONNECT_TIMEOUT', 4, 504],
      ['ERR_NAME_NOT_FOUND', 4, 502],
      ['ERR_CONNECTION_LIMIT', 1, 502],
    ] as const
    for (const [code, number, status] of failures) {
      const error = new TrunkError(code, 'why')
      assert.deepEqual([...failureReply(socks5, error)].slice(0, 2), [5, number], code)
      assert.deepEqual([...failureReply(socks4, error)].slice(0, 2), [0, 0x5b], code)
      const http = Buffer.from(failureReply(tunnel, error)).toString()
      assert.match(
        http,
        new RegExp(`^HTTP/1.1 ${status} [^]*\\r\\nx-trunkline-code: ${code}\\r\\n[^]*${code}: why\\n$`),
      )
    }
  })

  it('passes a request on with what is its server’s, and nothing that is the proxy’s [R-524]', () => {
    const head = [
      'POST http://example.org:8080?q=1 HTTP/1.1',
      'Host: elsewhere.example',
      'Proxy-Authorization: Basic YTpi',
      'Proxy-Connection: keep-alive',
      'Connection: X-Own , close, Content-Length',
      'X-Own: 1',
      'Keep-Alive: 5',
      'TE: trailers',
      'Upgrade: websocket',
      'Accept:   */*  ',
      'Content-Length: 5',
      '',
      '',
    ].join('\r\n')
    const { last } = say([ascii(head)], { http: true, login: 'a:b' })
    assert.ok(last.state === 'request' && last.request.passed !== undefined)
    assert.equal(last.request.passed.body, 5)
    assert.equal(
      Buffer.from(last.request.passed.head).toString(),
      [
        'POST /?q=1 HTTP/1.1',
        'host: example.org:8080',
        'accept: */*',
        'content-length: 5',
        'via: 1.1 trunkline',
        'connection: close',
        '',
        '',
      ].join('\r\n'),
    )
  })

  it('passes the value of a field on as it was: 0xa0 is no blank', () => {
    const said = say([ascii('GET http://a/ HTTP/1.1\r\nx: voil\xc3\xa0 \t\r\n\r\n')], { http: true })
    const head = said.last.state === 'request' ? said.last.request.passed?.head : undefined
    assert.ok(Buffer.from(head ?? []).includes(ascii('x: voil\xc3\xa0\r\n')))
  })

  it('reads a line of blanks without an end in a time that grows with its length', () => {
    const head = ascii(`CONNECT a:1 HTTP/1.1\r\na:${' '.repeat(8_100)}\x01\r\n\r\n`)
    const times = Array.from({ length: 5 }, () => {
      const start = performance.now()
      assert.equal(codeOf(say([head])), 'ERR_MESSAGE_INVALID')
      return performance.now() - start
    })
    // 70 ms where each way to split it is tried
    assert.ok(Math.min(...times) < 20, `${Math.min(...times)} ms`)
  })
})
