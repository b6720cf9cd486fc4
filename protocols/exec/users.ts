/**
 * As whom commands run: the server's own user, or those that it offers, of whom the first is taken
 * where nobody is asked for.
 */
import { userInfo } from 'node:os'
import { badArgument, TrunkError } from '../../src/contracts/errors.ts'
import { loadNative, type NativeUser } from '../../src/native/load.ts'
import type { LaunchUser } from './launch.ts'

/** Longest name of a user. */
const MAX_NAME = 64
const NO_SHELL = '/bin/sh'

/** One of them. */
export interface CommandUser {
  readonly name: string
  readonly home: string
  readonly shell: string
  /** Undefined: as this process is. */
  readonly becomes?: LaunchUser
}

export class Users {
  readonly #own: CommandUser
  readonly #offered: readonly string[] | undefined

  /**
   * @param mayBecome the launcher changes the user. Throws ERR_BAD_ARGUMENT, and ERR_UNSUPPORTED
   * for others than our own where it does not
   */
  constructor(offered: readonly string[] | undefined, mayBecome: boolean) {
    this.#own = ownUser()
    const { name } = this.#own
    if (offered === undefined) return
    const isList = Array.isArray(offered) && offered.length > 0 && offered.every(isName)
    if (!isList) throw badArgument('users is a list of names, and not an empty one')
    this.#offered = offered
    if (!mayBecome && offered.some((each) => each !== name))
      throw new TrunkError(
        'ERR_UNSUPPORTED',
        'users: to become others, a server needs to be root and to have the keeper',
      )
  }

  /** Commands may be root's. */
  get haveRoot(): boolean {
    return (this.#offered ?? [this.#own.name]).some((name) => name === 'root' || this.#isOwnRoot(name))
  }

  /**
   * Throws ERR_DENIED for one that is not offered, ERR_USER_UNKNOWN for one that the system does
   * not have.
   */
  async resolve(asked: string | undefined): Promise<CommandUser> {
    const name = asked ?? this.#offered?.[0] ?? this.#own.name
    if (!(this.#offered ?? [this.#own.name]).includes(name))
      throw new TrunkError('ERR_DENIED', 'user: this server runs no commands as that user')
    if (name === this.#own.name) return this.#own
    const found = await lookUp(name)
    if (found === undefined) throw new TrunkError('ERR_USER_UNKNOWN', 'user: the system has no user of that name')
    const { uid, gid, groups, home, shell } = found
    return { name, home, shell: shell === '' ? NO_SHELL : shell, becomes: { uid, gid, groups } }
  }

  #isOwnRoot(name: string): boolean {
    return name === this.#own.name && process.getuid?.() === 0
  }
}

/** In a container it may have a number and no name. */
function ownUser(): CommandUser {
  try {
    const { username: name, homedir: home, shell } = userInfo()
    return { name, home, shell: shell ?? NO_SHELL }
  } catch {
    return { name: String(process.getuid?.() ?? ''), home: '/', shell: NO_SHELL }
  }
}

async function lookUp(name: string): Promise<NativeUser | undefined> {
  try {
    return await loadNative()?.findUser(name)
  } catch (error) {
    throw new TrunkError('ERR_USER_UNKNOWN', 'user: the system could not look that user up', { cause: error })
  }
}

function isName(name: unknown): boolean {
  return typeof name === 'string' && name !== '' && name.length <= MAX_NAME && !name.includes('\0')
}
