/**
 * Writes archives as the kernel unpacks them into its first root (cpio, format "newc";
 * Documentation/driver-api/early-userspace in the kernel's tree). Several may lie one behind the
 * other in a file: later ones add to earlier ones, so each guest gets a small archive of its own
 * behind the large one that all share. Everything belongs to root and is as old as the epoch: the
 * same entries make the same bytes.
 */
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'

/**
 * A file, a folder (no content), or a link (`to`). Paths are relative to the root, folders before
 * what is in them.
 */
export type Entry =
  | { readonly path: string; readonly content: Uint8Array | string; readonly isExecutable?: boolean }
  | { readonly path: string; readonly to: string }
  | { readonly path: string }

const FOLDER = 0o040755
const FILE = 0o100644
const EXECUTABLE = 0o100755
const LINK = 0o120777
/** Each archive begins at a multiple of this in the kernel's eyes. */
const ALIGNMENT = 4

/** The archive of these entries, in pieces. */
export function archive(entries: readonly Entry[]): Buffer[] {
  const pieces: Buffer[] = []
  entries.forEach((entry, index) => {
    if ('content' in entry) {
      const content = typeof entry.content === 'string' ? Buffer.from(entry.content) : Buffer.from(entry.content)
      add(pieces, index + 1, entry.path, entry.isExecutable === true ? EXECUTABLE : FILE, content)
    } else if ('to' in entry) add(pieces, index + 1, entry.path, LINK, Buffer.from(entry.to))
    else add(pieces, index + 1, entry.path, FOLDER, Buffer.alloc(0))
  })
  add(pieces, 0, 'TRAILER!!!', 0, Buffer.alloc(0))
  return pieces
}

function add(pieces: Buffer[], inode: number, path: string, mode: number, content: Buffer): void {
  const name = Buffer.from(`${path}\0`)
  // inode, mode, owner, group, links, time, size, device (2), device of a node (2), length of the
  // name, checksum
  const numbers = [inode, mode, 0, 0, 1, 0, content.byteLength, 0, 0, 0, 0, name.byteLength, 0]
  const header = Buffer.from(`070701${numbers.map((value) => value.toString(16).padStart(8, '0')).join('')}`)
  pieces.push(header, name, padding(header.byteLength + name.byteLength), content, padding(content.byteLength))
}

function padding(length: number): Buffer {
  return Buffer.alloc((ALIGNMENT - (length % ALIGNMENT)) % ALIGNMENT)
}

/** The entries of a folder of this machine, to lie at `at` in the guest. */
export function folderEntries(folder: string, at: string): Entry[] {
  const entries: Entry[] = [{ path: at }]
  for (const name of readdirSync(folder).sort()) {
    const [from, path] = [join(folder, name), `${at}/${name}`]
    const stat = lstatSync(from)
    if (stat.isDirectory()) entries.push(...folderEntries(from, path))
    else if (stat.isSymbolicLink()) entries.push({ path, to: readlinkSync(from) })
    else if (stat.isFile()) entries.push({ path, content: readFileSync(from), isExecutable: (stat.mode & 0o100) !== 0 })
    else throw new Error(`${from} is neither a file, a folder nor a link`)
  }
  return entries
}
