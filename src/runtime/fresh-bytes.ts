/**
 * Random bytes that a machine which was set back does not say twice. Node's own (`randomBytes`,
 * `randomUUID`) come from a pool in this process's memory, and that memory is part of a snapshot:
 * restored twice, it gives the same bytes twice. The kernel is told of the restoring (VMGENID) and
 * starts its generator again; where it is not, the clock at least has moved between two readings.
 *
 * Promises: never worse than `randomBytes`. Bound: 32 bytes a call, some 20 µs.
 *
 * What nobody guards as a secret (an epoch, a name) is made without node:crypto, which takes a
 * command a tenth of its start to load.
 */
import { createHash, randomBytes } from 'node:crypto'
import { closeSync, openSync, readSync } from 'node:fs'

/** What SHA-256 gives. */
const MAX_BYTES = 32
const KERNEL = '/dev/urandom'
/** As many as a UUID has. */
const MARK_BYTES = 16

/** @param count at most 32 */
export function freshBytes(count: number): Uint8Array {
  if (count > MAX_BYTES) throw new RangeError(`${count} bytes, above ${MAX_BYTES}`)
  const hash = createHash('sha256').update(kernelBytes()).update(randomBytes(MAX_BYTES))
  hash.update(`${process.pid} ${process.hrtime.bigint()} ${Date.now()}`)
  return new Uint8Array(hash.digest().subarray(0, count))
}

/**
 * Bytes that two copies of a machine do not say, either; but who has seen those of one copy, and
 * knows the time, may guess those of the other. The clock is laid over what the kernel says, which
 * makes it no less random.
 * @param count at most 32
 */
export function freshMark(count: number): Uint8Array {
  const bytes = kernelBytes()
  if (count > bytes.byteLength) return freshBytes(count)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  // from the other end: two clocks that have moved by as much must not take each other back
  view.setBigUint64(0, view.getBigUint64(0, true) ^ BigInt.asUintN(64, process.hrtime.bigint()), true)
  view.setBigUint64(0, view.getBigUint64(0) ^ BigInt(Date.now()))
  return bytes.subarray(0, count)
}

/** A name that two copies of a machine do not give to files in one folder. */
export function freshName(): string {
  return `${Buffer.from(freshMark(MARK_BYTES)).toString('hex')}-${process.hrtime.bigint().toString(36)}`
}

/**
 * Nothing where the kernel cannot be asked by a file (Windows, a root without /dev): the other
 * sources have to do.
 */
function kernelBytes(): Uint8Array {
  const bytes = new Uint8Array(MAX_BYTES)
  let fd: number
  try {
    fd = openSync(KERNEL, 'r')
  } catch {
    return new Uint8Array(0)
  }
  try {
    return bytes.subarray(0, readSync(fd, bytes))
  } finally {
    closeSync(fd)
  }
}
