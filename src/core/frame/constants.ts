/**
 * The vocabulary of the wire: docs/reference/wire-format.md, "Frames". Nothing here runs.
 *
 * A frame is a header of 9 bytes and a payload:
 *
 *     type u8 | payload length u24 | pipe id u32 | flags u8 | payload
 *
 * in network byte order. The first byte (type) and the last byte (flags) of a header are at most
 * 0x7f while every byte of the sync word is above: so a sync word can neither begin in a payload
 * and end in the next header nor begin in a header and end in its payload, and the 7 bytes between
 * are too few to hold one.
 */

/** Bytes of a frame header. */
export const HEADER_BYTES = 9

/** Largest value of the type and flags bytes; see the header's layout. */
export const MAX_EDGE_BYTE = 0x7f

/** Version of the wire that this code speaks. */
export const WIRE_VERSION = 1

/**
 * What each hello begins with: eight different bytes above 0x7f, so it overlaps no shifted copy of
 * itself, is not UTF-8, and shows at once a line that strips the eighth bit. 0x91 and 0x93 (XON and
 * XOFF with that bit) are left out.
 */
export const SYNC_WORD: Uint8Array = Uint8Array.of(0xf4, 0x9b, 0xd1, 0xa6, 0xe8, 0xb3, 0xc5, 0x97)

/**
 * Frame types. Those from {@link FIRST_OPTIONAL_TYPE} on may be skipped by a peer that does not
 * know them.
 */
export const FrameType = {
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

/** Types from here to 0x7f are extensions: skipped by their length where they are not known. */
export const FIRST_OPTIONAL_TYPE = 0x40

/**
 * Frames that belong to a pipe have types from here on; those below belong to the session and carry
 * pipe id 0.
 */
export const FIRST_PIPE_TYPE = 0x10

/** Flags. A flag that a frame type does not define must be 0. */
export const FrameFlag = {
  /** RESET: the sender's handler has ended, so the pipe's slot is free. */
  FINAL: 0x01,
  /** Any type, in the checked framing alone: the payload is stuffed (checks.ts). */
  STUFFED: 0x40,
} as const

/** Largest pipe id. */
export const MAX_PIPE_ID: number = 2 ** 32 - 1
