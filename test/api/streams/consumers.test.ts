/** Readers of text, lines and JSON: however the bytes are cut, and what they refuse. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Uint8ArrayList } from 'uint8arraylist'
import { json, lines, text } from '../../../src/api/streams.ts'
import type { Bytes } from '../../../src/index.ts'
import { pipeEnds } from '../../helpers/pipe-ends.ts'
import { outcome } from '../../helpers/protocols.ts'
import { noStrayRejections } from '../../helpers/stray-rejections.ts'

noStrayRejections()

const MARK = [0xef, 0xbb, 0xbf]

/** The same bytes whole, byte by byte, in every pair of halves, and as a list. */
function cuts(bytes: Uint8Array): Bytes[][] {
  const single = [...bytes].map((byte) => Uint8Array.of(byte))
  const halves = [...bytes].map((_, at) => [bytes.subarray(0, at), bytes.subarray(at)])
  return [[bytes], single, ...halves, [new Uint8ArrayList(...single)], [new Uint8Array(0), bytes, new Uint8Array(0)]]
}

async function linesIn(source: Iterable<Bytes> | AsyncIterable<Bytes>, options = {}): Promise<string[]> {
  const all: string[] = []
  for await (const line of lines(source, options)) all.push(line)
  return all
}

/** A source that says whether it was closed. */
function watched(chunks: Uint8Array[]): { source: AsyncGenerator<Uint8Array>; closed(): boolean } {
  let closed = false
  async function* source(): AsyncGenerator<Uint8Array> {
    try {
      yield* chunks
      for (;;) yield new Uint8Array(1)
    } finally {
      closed = true
    }
  }
  return { source: source(), closed: () => closed }
}

describe('text', () => {
  it('is the same however the bytes are cut [R-559]', async () => {
    for (const chunks of cuts(Buffer.from('a€😀\r\nb'))) assert.equal(await text(chunks), 'a€😀\r\nb')
    assert.equal(await text([]), '')
    assert.equal(await text([Uint8Array.of(...MARK, 97)]), 'a')
  })

  it('reads a pipe, and its borrowed bytes', async () => {
    for (const borrowed of [false, true]) {
      const { pipe, peer, close } = await pipeEnds()
      const writing = peer.sink([Buffer.from('x'.repeat(300_000)), Buffer.from('€')])
      assert.equal(await text(borrowed ? pipe.borrowed : pipe), `${'x'.repeat(300_000)}€`)
      await writing
      await close()
    }
  })

  it('takes as many bytes as it may, fails with the next one, and closes its source', async () => {
    assert.equal(await text([Buffer.from('four')], { maxBytes: 4 }), 'four')
    const { source, closed } = watched([Buffer.from('fives')])
    assert.equal(await outcome(text(source, { maxBytes: 4 })), 'ERR_MESSAGE_INVALID')
    assert.equal(closed(), true)
    const exact = [Buffer.alloc(1_048_576)]
    assert.equal((await text(exact)).length, 1_048_576)
    assert.equal(await outcome(text([...exact, new Uint8Array(1)])), 'ERR_MESSAGE_INVALID')
  })

  it('tells the peer of a pipe to stop where it takes no more', async () => {
    const { pipe, peer, close } = await pipeEnds()
    const reading = outcome(text(pipe, { maxBytes: 10 }))
    const writing = outcome(peer.sink([new Uint8Array(11), new Uint8Array(1_000_000)]))
    assert.equal(await reading, 'ERR_MESSAGE_INVALID')
    assert.equal(await writing, 'ERR_PIPE_STOPPED')
    await close()
  })

  it('refuses what is no UTF-8, unless it may replace it', async () => {
    for (const bytes of [[0xff], [97, 0xe2, 0x82], [0xc0, 0x80]]) {
      const source = [Uint8Array.from(bytes)]
      assert.equal(await outcome(text(source)), 'ERR_MESSAGE_INVALID')
      assert.match(await text(source, { fatal: false }), /\uFFFD/)
    }
  })

  it('passes on what the source throws', async () => {
    const error = new RangeError('mine')
    const failing = (async function* () {
      yield Buffer.from('some')
      throw error
    })()
    await assert.rejects(text(failing), error)
  })

  it('refuses bad arguments', async () => {
    for (const source of [undefined, null, 5, 'text', new Uint8Array(1), {}, ['text'], [5], [null]]) {
      assert.equal(await outcome(text(source as never)), 'ERR_BAD_ARGUMENT', JSON.stringify(source))
      assert.equal(await outcome(linesOf(source)), 'ERR_BAD_ARGUMENT', JSON.stringify(source))
    }
    for (const options of [{ maxBytes: -1 }, { maxBytes: 1.5 }, { maxBytes: 2 ** 30 }, { fatal: 'no' }]) {
      assert.equal(await outcome(text([], options as never)), 'ERR_BAD_ARGUMENT')
      assert.equal(await outcome(json([], options as never)), 'ERR_BAD_ARGUMENT')
    }
    for (const options of [{ maxLineBytes: 0 }, { maxLineBytes: NaN }, { fatal: 1 }]) {
      assert.throws(() => lines([], options as never), { code: 'ERR_BAD_ARGUMENT' })
    }
  })
})

async function linesOf(source: unknown): Promise<string[]> {
  return await linesIn(source as never)
}

describe('lines', () => {
  it('are the same however the bytes are cut [R-559]', async () => {
    const whole = '\n€uro\r\n\r\n😀\rb\nlast'
    for (const chunks of cuts(Buffer.from(whole))) {
      assert.deepEqual(await linesIn(chunks), ['', '€uro', '', '😀\rb', 'last'])
    }
    assert.deepEqual(await linesIn([]), [])
    assert.deepEqual(await linesIn([Buffer.from('\n')]), [''])
    assert.deepEqual(await linesIn([Buffer.from('a\r')]), ['a'])
  })

  it('drop a byte order mark at the start, and nowhere else', async () => {
    for (const chunks of cuts(Uint8Array.of(...MARK, 97, 10, ...MARK, 98))) {
      assert.deepEqual(await linesIn(chunks), ['a', '\uFEFFb'])
    }
  })

  it('come as soon as they are complete', async () => {
    const { pipe, peer, close } = await pipeEnds()
    const reader = lines(pipe)
    await peer.write(Buffer.from('one\ntw'))
    assert.deepEqual(await reader.next(), { done: false, value: 'one' })
    const second = reader.next()
    await peer.write(Buffer.from('o\n'))
    assert.deepEqual(await second, { done: false, value: 'two' })
    await reader.return()
    assert.equal(await outcome(peer.sink(endless())), 'ERR_PIPE_STOPPED')
    await close()
  })

  it('may be as long as the bound, and no longer, in however many pieces', async () => {
    for (const chunks of cuts(Buffer.from('1234\n123\r\n1234'))) {
      assert.deepEqual(await linesIn(chunks, { maxLineBytes: 4 }), ['1234', '123', '1234'])
    }
    for (const long of ['12345', '12345\n', '1234\r\n']) {
      for (const chunks of cuts(Buffer.from(`ok\n${long}`))) {
        const reader = lines(chunks, { maxLineBytes: 4 })
        assert.equal((await reader.next()).value, 'ok')
        assert.equal(await outcome(reader.next()), 'ERR_MESSAGE_INVALID', long)
      }
    }
    const { source, closed } = watched([])
    assert.equal(await outcome(linesIn(source)), 'ERR_MESSAGE_INVALID')
    assert.equal(closed(), true)
  })

  it('refuse what is no UTF-8, unless they may replace it', async () => {
    const source = [Uint8Array.of(97, 10, 0xff, 10, 98)]
    const reader = lines(source)
    assert.equal((await reader.next()).value, 'a')
    assert.equal(await outcome(reader.next()), 'ERR_MESSAGE_INVALID')
    assert.deepEqual(await linesIn(source, { fatal: false }), ['a', '\uFFFD', 'b'])
  })
})

async function* endless(): AsyncGenerator<Uint8Array> {
  for (;;) yield new Uint8Array(10_000)
}

describe('json', () => {
  it('is the value that the text says', async () => {
    const value = { a: [1, 'zwei', null], b: '€' }
    for (const chunks of cuts(Buffer.from(JSON.stringify(value)))) assert.deepEqual(await json(chunks), value)
  })

  it('refuses what is no JSON, and what is too long', async () => {
    for (const bad of ['', '{', '{"a":}', 'undefined', '1 2']) {
      assert.equal(await outcome(json([Buffer.from(bad)])), 'ERR_MESSAGE_INVALID', bad)
    }
    assert.equal(await outcome(json([Buffer.from('[1,2]')], { maxBytes: 4 })), 'ERR_MESSAGE_INVALID')
  })

  it('refuse chunks that are no bytes, whatever can be iterated', async () => {
    for (const chunk of [['abc'], [1, 2, 3], endlessly()]) {
      const source = [chunk] as unknown as Bytes[]
      assert.equal(await outcome(linesIn(source)), 'ERR_BAD_ARGUMENT')
      assert.equal(await outcome(text(source)), 'ERR_BAD_ARGUMENT')
    }
  })
})

async function* endlessly(): AsyncGenerator<string, void, undefined> {
  for (;;) yield 'more'
}
