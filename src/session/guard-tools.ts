/** The two functions of the guarded framing that Node has natively: a CRC-32 at several GB/s (zlib, since Node 20.15) and a search. */
import { crc32 } from 'node:zlib'
import type { GuardTools } from '../core/checked-frame/guard.ts'

export const guardTools: GuardTools = {
  crc32: (bytes, before) => crc32(bytes, before),
  find: (bytes, word, from) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).indexOf(word, from),
}
