/**
 * The native addon, loaded when it is first asked for and never by importing this file. It is optional: where it was not
 * built, `loadNative` gives undefined and the caller takes its weaker way or says what is missing.
 *
 * It is looked for under build/Release (built here) and prebuilds/PLATFORM-ARCH (shipped) of the package's root.
 */
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'

/** A socket address as the addon takes and gives it; `address` is a literal, never a name. */
export interface NativeAddress {
  readonly family: 'ipv4' | 'ipv6'
  readonly address: string
  readonly port: number
}

/** A connection that was accepted. Its descriptor belongs to the caller. */
export interface NativeAccepted {
  readonly fd: number
  readonly remote: NativeAddress
  readonly local: NativeAddress
}

/** Tells when a descriptor is readable, again and again until that was dealt with. Made stopped; it keeps the process alive while it runs. */
export interface NativeWatch {
  start(): void
  stop(): void
  /** Ends it for good; the descriptor may be closed at once afterwards. */
  close(): void
}

/** What the C files export. Each function throws an error with `code`, `errno` and `syscall`, as Node's own do. */
export interface NativeDescriptors {
  /** Makes a listening socket (close-on-exec, non-blocking, IPv6 only for IPv6) and gives its descriptor. */
  listen(address: NativeAddress, backlog: number): number
  localAddress(fd: number): NativeAddress
  /** Accepts one waiting connection; undefined when none waits. */
  accept(fd: number): NativeAccepted | undefined
  close(fd: number): void
  /** The name of the error that the kernel has yet to tell (`ECONNRESET`); undefined when there is none. Asking takes it. */
  socketError(fd: number): string | undefined
  /** `callback` gets the name of an error (`EBADF`) when the watching has failed. */
  watch(fd: number, callback: (error?: string) => void): NativeWatch
}

/** What came of loading: the addon, or a sentence that says why there is none. */
export type NativeStatus = { readonly native: NativeDescriptors; readonly path: string } | { readonly problem: string }

let status: NativeStatus | undefined

/** Loads the addon once; afterwards gives the same answer. Never throws. */
export function nativeStatus(): NativeStatus {
  status ??= load()
  return status
}

/** The addon, or undefined where it is not available. */
export function loadNative(): NativeDescriptors | undefined {
  const found = nativeStatus()
  return 'native' in found ? found.native : undefined
}

function load(): NativeStatus {
  const folders = ['build/Release', `prebuilds/${process.platform}-${process.arch}`]
  // Two levels up from src/native, three from dist/src/native.
  for (const root of ['../../', '../../../']) {
    for (const folder of folders) {
      const path = fileURLToPath(new URL(`${root}${folder}/trunkline.node`, import.meta.url))
      if (existsSync(path)) return open(path)
    }
  }
  return { problem: 'the native addon was not built (npm run build:native)' }
}

function open(path: string): NativeStatus {
  try {
    return { native: createRequire(import.meta.url)(path) as NativeDescriptors, path }
  } catch (error) {
    // A file for another system or an older libc: as good as none.
    return {
      problem: `the native addon ${path} does not load: ${error instanceof Error ? error.message : String(error)}`,
    }
  }
}
