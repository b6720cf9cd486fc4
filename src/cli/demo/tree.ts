/**
 * The tree that the demo copies: many small files and a large one, of random bytes; and the hashes
 * that prove the copy.
 */
import { createHash, randomBytes, randomInt } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, open } from 'node:fs/promises'
import { join } from 'node:path'

/** The large one. */
export const BIG_FILE = 'big.bin'
export const BIG_BYTES: number = 64 * 1024 * 1024
const SMALL_FILES = 199
const SMALL_BYTES = [1024, 64 * 1024] as const
const FOLDERS = 10
const PIECE_BYTES = 4 * 1024 * 1024

/** A file of the tree. */
export interface TreeFile {
  readonly path: string
  readonly bytes: number
}

/** Makes the tree in `root` and lists its files. */
export async function makeTree(root: string): Promise<TreeFile[]> {
  const files: TreeFile[] = [{ path: BIG_FILE, bytes: BIG_BYTES }]
  for (let i = 0; i < SMALL_FILES; i += 1) {
    files.push({ path: `part-${i % FOLDERS}/file-${i}.bin`, bytes: randomInt(...SMALL_BYTES) })
  }
  for (let i = 0; i < FOLDERS; i += 1) await mkdir(join(root, `part-${i}`), { recursive: true })
  for (const { path, bytes } of files) {
    const file = await open(join(root, path), 'wx')
    try {
      for (let left = bytes; left > 0; left -= PIECE_BYTES) await file.write(randomBytes(Math.min(left, PIECE_BYTES)))
    } finally {
      await file.close()
    }
  }
  return files
}

/** SHA-256 of a local file, as hexadecimal. */
export async function hashFile(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path, { highWaterMark: 1024 * 1024 })) hash.update(chunk as Buffer)
  return hash.digest('hex')
}
