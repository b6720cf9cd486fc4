/**
 * The `filesystem` protocol: the files below one directory, across a trunk. The peer that has them
 * serves `filesystem({ root })`; the other one uses `filesystemClient(trunk)`. Promises confinement
 * to the root, atomic writes, names as bytes and bounded memory; assumes a hostile peer on either
 * side. docs/guide/protocols/filesystem.md has the whole of it.
 */
export { filesystem, type FilesystemOptions } from './filesystem/server.ts'
export { filesystemClient } from './filesystem/client.ts'
export { download, upload } from './filesystem/copy/copy.ts'
export type {
  CopyFailure,
  CopyOptions,
  CopyProgress,
  CopyResult,
  DownloadOptions,
  LocalPath,
} from './filesystem/copy/types.ts'
export type {
  AttributeOptions,
  CallOptions,
  ClientOptions,
  FileEntry,
  FilesystemClient,
  FileStat,
  RangeOptions,
  SmallOptions,
  WriteOptions,
  WriteSource,
} from './filesystem/client-types.ts'
export type { FileType } from './filesystem/messages.ts'
export type { FilePath } from './filesystem/path.ts'
