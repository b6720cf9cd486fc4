/**
 * Readers of whole sources: as text, as lines, as JSON. Bounds: each says how many bytes it holds,
 * and fails above that.
 */
import type { Source } from 'it-stream-types'
import { badArgument, TrunkError } from '../../contracts/errors.ts'
import { requireInteger } from '../../contracts/limits.ts'
import type { Bytes } from '../../contracts/types.ts'
import { isBytes, isSource } from '../../runtime/sources.ts'
import { LineBuffer } from './line-buffer.ts'

/** Options of {@link text} and {@link json}. */
export interface TextOptions {
  /** The most bytes that the source may give, 0 to 2^29. @default 1,048,576 */
  maxBytes?: number
  /**
   * False: bytes that are no UTF-8 become U+FFFD. True: they fail with ERR_MESSAGE_INVALID.
   * @default true
   */
  fatal?: boolean
}

/** Options of {@link lines}. */
export interface LinesOptions {
  /** The most bytes of one line, without its line feed, 1 to 2^29. @default 65,536 */
  maxLineBytes?: number
  /**
   * False: bytes that are no UTF-8 become U+FFFD. True: they fail with ERR_MESSAGE_INVALID.
   * @default true
   */
  fatal?: boolean
}

/** Default of `maxBytes`. */
const MAX_TEXT_BYTES = 1_048_576
/** Default of `maxLineBytes`. */
const MAX_LINE_BYTES = 65_536
/** Node has no string that is much longer. */
const MOST_BYTES = 2 ** 29

/**
 * Everything that `source` gives, as UTF-8; a byte order mark at its start is dropped. `source` is
 * a pipe or any iterable of bytes.
 *
 * Rejects with ERR_MESSAGE_INVALID where there are more than `maxBytes` or, unless `fatal` is
 * false, bytes that are no UTF-8; the source is closed then, so that the peer stops sending. What
 * the source throws is passed on. ERR_BAD_ARGUMENT: what was given is no source, or an option is
 * out of its bounds.
 *
 * @example
 * ```ts
 * const answer = await text(await trunk.open('clipboard', 'get'), { maxBytes: 64 * 1024 })
 * ```
 */
export async function text(source: Source<Bytes>, options: TextOptions = {}): Promise<string> {
  const { maxBytes = MAX_TEXT_BYTES, fatal = true } = options
  requireInteger('maxBytes', maxBytes, 0, MOST_BYTES)
  requireSource(source)
  const decoder = new TextDecoder('utf-8', { fatal: requireFatal(fatal) })
  let whole = ''
  let bytes = 0
  for await (const chunk of source) {
    for (const piece of piecesOf(chunk)) {
      bytes += piece.byteLength
      if (bytes > maxBytes) throw new TrunkError('ERR_MESSAGE_INVALID', `more than ${maxBytes} bytes`)
      whole += decoded(() => decoder.decode(piece, { stream: true }))
    }
  }
  return whole + decoded(() => decoder.decode())
}

/**
 * The JSON value that `source` gives. As {@link text}, and ERR_MESSAGE_INVALID, too, for what is no
 * JSON. The value is the peer's: check its shape.
 *
 * @example
 * ```ts
 * const settings = v.parse(SETTINGS, await json(pipe))
 * ```
 */
export async function json(source: Source<Bytes>, options: TextOptions = {}): Promise<unknown> {
  const whole = await text(source, options)
  try {
    return JSON.parse(whole) as unknown
  } catch (error) {
    throw new TrunkError('ERR_MESSAGE_INVALID', 'the text is no JSON', { cause: error })
  }
}

/**
 * The lines that `source` gives, as UTF-8, each as soon as it is complete, without its line feed
 * and a carriage return before that. A last line needs no line feed. One line is held at a time.
 *
 * Throws ERR_MESSAGE_INVALID for a line of more than `maxLineBytes` or, unless `fatal` is false,
 * for one that is no UTF-8. The source is closed then, and where the loop is left: the peer stops
 * sending. What the source throws is passed on, and a line that it cuts is dropped. The call throws
 * ERR_BAD_ARGUMENT where it is given no source, or an option out of its bounds.
 *
 * @example
 * ```ts
 * for await (const line of lines(await trunk.open('journal'))) console.log(line)
 * ```
 */
export function lines(source: Source<Bytes>, options: LinesOptions = {}): AsyncGenerator<string, void, undefined> {
  const { maxLineBytes = MAX_LINE_BYTES, fatal = true } = options
  requireInteger('maxLineBytes', maxLineBytes, 1, MOST_BYTES)
  return linesOf(requireSource(source), new LineBuffer(maxLineBytes), requireFatal(fatal))
}

const LINE_FEED = 10

async function* linesOf(
  source: Source<Bytes>,
  buffer: LineBuffer,
  fatal: boolean,
): AsyncGenerator<string, void, undefined> {
  // the mark is no mark but at the start of everything
  const [first, further] = [false, true].map((ignoreBOM) => new TextDecoder('utf-8', { fatal, ignoreBOM }))
  let decoder = first
  const line = (): string => {
    const whole = decoded(() => decoder?.decode(buffer.take()) ?? '')
    decoder = further
    return whole
  }
  for await (const chunk of source) {
    for (const piece of piecesOf(chunk)) {
      let from = 0
      for (;;) {
        const at = piece.indexOf(LINE_FEED, from)
        if (at < 0) break
        buffer.append(piece.subarray(from, at))
        yield line()
        from = at + 1
      }
      buffer.append(piece.subarray(from))
    }
  }
  if (buffer.length > 0) yield line()
}

function piecesOf(chunk: Bytes): Iterable<Uint8Array> {
  if (!isBytes(chunk)) throw badArgument(`a source gives Uint8Arrays or Uint8ArrayLists, not ${typeof chunk}`)
  return chunk instanceof Uint8Array ? [chunk] : chunk
}

function requireSource(source: Source<Bytes>): Source<Bytes> {
  if (isSource(source)) return source
  throw badArgument(`a source is a pipe or an iterable of bytes, not ${typeof source}`)
}

function requireFatal(fatal: unknown): boolean {
  if (typeof fatal === 'boolean') return fatal
  throw badArgument(`fatal is true or false, not ${JSON.stringify(fatal)}`)
}

function decoded(decode: () => string): string {
  try {
    return decode()
  } catch (error) {
    throw new TrunkError('ERR_MESSAGE_INVALID', 'the text is no UTF-8', { cause: error })
  }
}
