/**
 * Whether there is a keeper for this machine that speaks with us; what is found once holds for the
 * life of the process.
 */
import { spawnSync } from 'node:child_process'
import { findKeeper } from '../../../src/native/keeper-file.ts'
import { loadNative } from '../../../src/native/load.ts'
import { KEEPER_VERSION } from './wire.ts'

/** Its path, or a sentence that says why there is none. */
export type KeeperStatus = { readonly file: string } | { readonly problem: string }

/**
 * Set to anything, it switches the keeper off: to find out whether a fault is the keeper's, and to
 * test what works without it.
 */
const SWITCH = 'TRUNKLINE_NO_KEEPER'
/** It prints a number: where that takes long, nothing is to be had of it. */
const ASKED_MS = 5_000

let status: KeeperStatus | undefined

/** Looks once; afterwards gives the same answer. Never throws. */
export function keeperStatus(): KeeperStatus {
  status ??= look()
  return status
}

function look(): KeeperStatus {
  if ((process.env[SWITCH] ?? '') !== '') return { problem: `the keeper is switched off (${SWITCH})` }
  if (loadNative() === undefined) return { problem: 'the keeper needs the native addon, and that does not load' }
  const file = findKeeper()
  if (file === undefined)
    return { problem: 'there is no keeper for this machine, or it may not be executed where it is' }
  return examined(file)
}

/** {@link keeperStatus} of a file: it runs, and is of this release. */
export function examined(file: string): KeeperStatus {
  const {
    status: code,
    error,
    stdout,
  } = spawnSync(file, ['--version'], { encoding: 'utf8', timeout: ASKED_MS, env: {} })
  const failure: NodeJS.ErrnoException | undefined = error
  if (code !== 0) return { problem: `the keeper ${file} does not run (${failure?.code ?? `status ${String(code)}`})` }
  const version = stdout.trim()
  return version === String(KEEPER_VERSION)
    ? { file }
    : { problem: `the keeper ${file} is of another release (version ${version.slice(0, 16)}, not ${KEEPER_VERSION})` }
}
