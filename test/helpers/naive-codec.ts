/**
 * A second codec of the wire, written from docs/reference/wire-format.md alone and with no thought
 * of speed: what the real one is compared with, what the golden vectors were made with, and what
 * the raw peer speaks. Imports nothing of src/.
 */

/** A frame in the open. */
export interface WireFrame {
  readonly type: number
  readonly flags: number
  readonly pipe: number
  readonly payload: Uint8Array
}

/** A status in the open: BYE, REFUSE, DONE, STOP and RESET carry one. */
export interface WireStatus {
  readonly number: number
  readonly name: string
  readonly sentence: string
}

/** Frame types by name, as the document has them. */
export const TYPE = {
  HELLO: 0x01,
  READY: 0x02,
  CLOSING: 0x03,
  BYE: 0x04,
  PING: 0x05,
  PONG: 0x06,
  PARSED: 0x07,
  OPEN: 0x10,
  ACCEPT: 0x11,
  REFUSE: 0x12,
  DATA: 0x13,
  CREDIT: 0x14,
  END: 0x15,
  DONE: 0x16,
  STOP: 0x17,
  RESET: 0x18,
} as const

/** Name of a frame type. */
export type TypeName = keyof typeof TYPE

/** The flag of RESET. */
export const FINAL = 0x01

/** What each hello begins with. */
export const SYNC: Uint8Array = Uint8Array.from([0xf4, 0x9b, 0xd1, 0xa6, 0xe8, 0xb3, 0xc5, 0x97])

/** `count` bytes of `value`, most significant first. */
export function bigEndian(value: number | bigint, count: number): Uint8Array {
  const bytes: number[] = []
  let rest = BigInt(value)
  for (let i = 0; i < count; i++) {
    bytes.unshift(Number(rest & 255n))
    rest >>= 8n
  }
  return Uint8Array.from(bytes)
}

/** The number that `bytes` spell, most significant first. */
export function fromBigEndian(bytes: Uint8Array): bigint {
  let value = 0n
  for (const byte of bytes) value = value * 256n + BigInt(byte)
  return value
}

/** Bytes one behind the other. */
export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts))
}

/** Text as UTF-8. */
export function utf8(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}

/** Bytes as small letters and digits. */
export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}

/** The bytes that `text` spells; spaces and line ends are ignored. */
export function fromHex(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text.replace(/\s/g, ''), 'hex'))
}

/** A frame as bytes. */
export function encodeFrame(frame: WireFrame): Uint8Array {
  return concat(
    bigEndian(frame.type, 1),
    bigEndian(frame.payload.byteLength, 3),
    bigEndian(frame.pipe, 4),
    bigEndian(frame.flags, 1),
    frame.payload,
  )
}

/** The frames in `bytes`, and what is left of an incomplete last one. */
export function decodeFrames(bytes: Uint8Array): { frames: WireFrame[]; rest: Uint8Array } {
  const frames: WireFrame[] = []
  let rest = bytes
  while (rest.byteLength >= 9) {
    const length = Number(fromBigEndian(rest.slice(1, 4)))
    if (rest.byteLength < 9 + length) break
    frames.push({
      type: rest[0]!,
      flags: rest[8]!,
      pipe: Number(fromBigEndian(rest.slice(4, 8))),
      payload: rest.slice(9, 9 + length),
    })
    rest = rest.subarray(9 + length)
  }
  return { frames, rest }
}

/** A frame made of its parts. */
export function frame(type: number, pipe = 0, payload: Uint8Array = new Uint8Array(0), flags = 0): WireFrame {
  return { type, flags, pipe, payload }
}

/** A status as bytes. */
export function encodeStatus(status: WireStatus): Uint8Array {
  const name = utf8(status.name)
  return concat(bigEndian(status.number, 2), bigEndian(name.byteLength, 1), name, utf8(status.sentence))
}

/** The status in `payload`, which is taken to be well formed. */
export function decodeStatus(payload: Uint8Array): WireStatus {
  const nameEnd = 3 + payload[2]!
  return {
    number: Number(fromBigEndian(payload.slice(0, 2))),
    name: new TextDecoder().decode(payload.slice(3, nameEnd)),
    sentence: new TextDecoder().decode(payload.slice(nameEnd)),
  }
}
