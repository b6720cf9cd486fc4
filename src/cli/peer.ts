/**
 * The peer of a command: `--to ADDRESS` or $TRUNKLINE_TO, with `--token-file` or $TRUNKLINE_TOKEN_FILE. `withTrunk` owns the
 * trunk's lifetime: it is closed, gracefully, whatever the command does. That no session came about is exit status 3.
 */
import { readFile } from 'node:fs/promises'
import type { Command } from 'commander'
import { connect } from '../index.ts'
import type { Trunk, TrunkOptions } from '../index.ts'
import type { Context } from './context.ts'
import { about, asFailure, EXIT, Failure, usageError } from './failure.ts'

/** How a command names its peer. */
export interface PeerOptions {
  to?: string
  tokenFile?: string
}

/** A token file larger than this is not one. */
const MAX_TOKEN_BYTES = 4096

/** Adds `--to` and `--token-file`. */
export function addPeerOptions(command: Command): Command {
  return command
    .option('--to <address>', 'the peer (default: $TRUNKLINE_TO)')
    .option('--token-file <file>', 'file with the secret that both sides have')
}

/** The secret in `file`, without the line end that editors add; undefined where no file is named. */
export async function readToken(context: Context, file: string | undefined): Promise<Uint8Array | undefined> {
  const path = file ?? context.env['TRUNKLINE_TOKEN_FILE']
  if (path === undefined || path === '') return undefined
  let bytes: Buffer
  try {
    bytes = await readFile(path)
  } catch (error) {
    throw about(path, error)
  }
  let end = bytes.length
  if (bytes[end - 1] === 0x0a) end -= 1
  if (bytes[end - 1] === 0x0d) end -= 1
  if (end > MAX_TOKEN_BYTES) throw usageError(`${path}: a token has at most ${MAX_TOKEN_BYTES} bytes, not ${end}`)
  return bytes.subarray(0, end)
}

function noSession(thrown: unknown): Failure {
  const failure = asFailure(thrown)
  if (failure.status === EXIT.usage || failure.code.startsWith('ERR_AUTH_') || failure.code === 'ERR_ABORTED')
    return failure
  return new Failure(failure.code, failure.message, EXIT.noSession, { cause: thrown })
}

/** Dials the peer. The caller closes the trunk. */
export async function connectPeer(context: Context, options: PeerOptions): Promise<Trunk> {
  const address = options.to ?? context.env['TRUNKLINE_TO']
  if (address === undefined || address === '') {
    throw usageError('which peer? Give --to ADDRESS or set TRUNKLINE_TO')
  }
  const token = await readToken(context, options.tokenFile)
  const trunkOptions: TrunkOptions = { signal: context.signal }
  if (token !== undefined) trunkOptions.token = token
  try {
    return await connect(address, trunkOptions)
  } catch (error) {
    throw noSession(error)
  }
}

/** Runs `body` with a trunk to the peer, then closes it. */
export async function withTrunk<T>(
  context: Context,
  options: PeerOptions,
  body: (trunk: Trunk) => Promise<T>,
): Promise<T> {
  const trunk = await connectPeer(context, options)
  try {
    return await body(trunk)
  } finally {
    // What the command did was confirmed pipe by pipe; a goodbye that goes wrong takes nothing of it back.
    await trunk.close().catch(() => undefined)
  }
}
