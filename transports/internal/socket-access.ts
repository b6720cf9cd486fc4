/**
 * Who besides its owner may connect to a socket that we make: `mode=0660&group=kvm` in an address,
 * `mode` and `group` as options. Needed wherever the other side runs as another user: a hypervisor
 * that connects to a socket of root's, a virtual machine monitor in its jail.
 */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { promisify } from 'node:util'
import { badArgument, TrunkError } from '../../src/contracts/errors.ts'

/** Checked. Without either only the owner may connect. */
export interface SocketAccess {
  /** Permission bits. @default 0o660 with a group, else 0o600 */
  readonly mode?: number
  /** A name, or a number. @default that of the process */
  readonly group?: string
}

/** Only the owner may connect. */
const OWNER_ONLY = 0o600
/** Connecting takes the right to write; to execute a socket means nothing. */
const BITS = 0o666
const GROUP = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}\$?$/
const MAX_ID = 2 ** 32 - 2
/** How long a directory service may take to say who a group is. */
const LOOKUP_MS = 5_000

/** Names of the parts of an address that {@link accessIn} reads. */
export const ACCESS_NAMES: ReadonlySet<string> = new Set(['mode', 'group'])

/**
 * What the parts `mode=` and `group=` of an address say; gives what is wrong with them as a
 * sentence.
 */
export function accessIn(parts: ReadonlyMap<string, string>): SocketAccess | string {
  const [mode, group] = [parts.get('mode'), parts.get('group')]
  if (mode !== undefined && !/^0?[0-7]{3}$/.test(mode)) return 'mode is written in octal, such as 0660'
  try {
    return checkAccess(mode === undefined ? undefined : parseInt(mode, 8), group)
  } catch (error) {
    return (error as Error).message
  }
}

/** Options, checked; ERR_BAD_ARGUMENT names the one that is wrong. */
export function checkAccess(mode: unknown, group: unknown): SocketAccess {
  if (mode !== undefined && (typeof mode !== 'number' || !Number.isInteger(mode) || mode < 0 || (mode & ~BITS) !== 0)) {
    throw badArgument(`mode must have no other bits than 0666, not ${JSON.stringify(mode)}`)
  }
  if (group !== undefined && (typeof group !== 'string' || !GROUP.test(group))) {
    throw badArgument(`group must be the name of a group, or its number, not ${JSON.stringify(group)}`)
  }
  return { ...(mode === undefined ? {} : { mode }), ...(group === undefined ? {} : { group }) }
}

/** As an address has it: `mode=0660`, `group=kvm`. */
export function formatAccess({ mode, group }: SocketAccess): string[] {
  return [
    ...(mode === undefined ? [] : [`mode=${mode.toString(8).padStart(4, '0')}`]),
    ...(group === undefined ? [] : [`group=${group}`]),
  ]
}

/**
 * The bits for chmod, and the number for chown; undefined leaves the group as it is. Rejects with
 * ERR_BIND_DENIED where there is no such group.
 */
export async function resolveAccess(
  { mode, group }: SocketAccess,
  written: string,
): Promise<{ mode: number; gid: number | undefined }> {
  if (group === undefined) return { mode: mode ?? OWNER_ONLY, gid: undefined }
  const gid = /^\d+$/.test(group) ? Number(group) : (localGroup(group) ?? (await anyGroup(group)))
  if (gid === undefined || gid > MAX_ID) {
    throw new TrunkError('ERR_BIND_DENIED', `cannot listen at ${written}: there is no group ${group}`, {
      scope: 'link',
    })
  }
  return { mode: mode ?? OWNER_ONLY | 0o060, gid }
}

function localGroup(name: string): number | undefined {
  try {
    return gidIn(readFileSync('/etc/group', 'utf8'), name)
  } catch {
    return undefined // a system without that file: the directory service is asked
  }
}

/** Groups of a directory service (LDAP, systemd): only the C library knows how to ask. */
async function anyGroup(name: string): Promise<number | undefined> {
  try {
    const { stdout } = await promisify(execFile)('getent', ['group', '--', name], { timeout: LOOKUP_MS })
    return gidIn(stdout, name)
  } catch {
    return undefined // nobody knows it, or nobody can be asked
  }
}

/** `kvm:x:104:libvirt-qemu` */
function gidIn(lines: string, name: string): number | undefined {
  const line = lines.split('\n').find((text) => text.startsWith(`${name}:`))
  const id = line?.split(':')[2]
  return id !== undefined && /^\d+$/.test(id) ? Number(id) : undefined
}
