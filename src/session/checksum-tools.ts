/**
 * The two functions of the checked framing that Node has natively: a CRC-32 at several GB/s (zlib,
 * since Node 20.15) and a search.
 */
import { crc32 } from 'node:zlib'
import type { ChecksumTools } from '../core/checked-frame/checks.ts'

export const checksumTools: ChecksumTools = {
  crc32: (bytes, before) => crc32(bytes, before),
  find: (bytes, word, from) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).indexOf(word, from),
}
