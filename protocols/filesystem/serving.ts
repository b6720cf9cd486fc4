/**
 * What the parts of the server share: the options, the root, and the bound on operations that hold
 * descriptors. Assumes one `Serving` per protocol object; each trunk has its own count of handles,
 * and takes its part of what all trunks share.
 */
import { accountOf, noDescriptor, type Account } from '../../src/runtime/budgets.ts'
import { TrunkError } from '../../src/contracts/errors.ts'
import type { PipeRequest, Trunk } from '../../src/contracts/types.ts'
import type { FileRequest, RequestOf } from './messages.ts'
import type { Root } from './root.ts'

/** An operation as its part of the server sees it. */
export interface Operation<Op extends FileRequest['op']> {
  readonly message: RequestOf<Op>
  readonly request: PipeRequest<FileRequest>
  readonly serving: Serving
  /** By what the trunk takes its part of what all trunks share. */
  readonly account: Account
}

/** What `Serving` knows of a trunk. */
interface Known {
  open: number
  readonly account: Account
}

/** The checked options of `filesystem`. */
export interface ServingOptions {
  readonly readOnly: boolean
  readonly maxHandles: number
  readonly maxFileBytes: number
  readonly allowHardLinkWrites: boolean
}

/** One served root. */
export class Serving {
  readonly root: Root
  readonly options: ServingOptions
  readonly #known = new WeakMap<Trunk, Known>()

  constructor(root: Root, options: ServingOptions) {
    this.root = root
    this.options = options
  }

  /**
   * Counts an operation that holds descriptors across turns of the event loop; ERR_HANDLE_LIMIT
   * above the bound. The first one of a trunk opens the root, which is kept until that trunk ends.
   * `descriptors` are how many it may hold at a time.
   */
  async withHandle<T>(trunk: Trunk, descriptors: number, work: () => Promise<T>): Promise<T> {
    const known = this.enter(trunk)
    const { account } = known
    if (known.open >= this.options.maxHandles) {
      throw new TrunkError('ERR_HANDLE_LIMIT', `at most ${this.options.maxHandles} files may be in use at a time`)
    }
    if (!account.descriptors.takeOrRefuse(descriptors)) throw noDescriptor()
    known.open++
    // Its own hold on the root: the trunk may end before the operation has cleaned up, and a number
    // that was given back may already name somebody else's directory.
    const leave = this.root.use()
    try {
      return await work()
    } finally {
      leave()
      known.open--
      account.descriptors.give(descriptors)
    }
  }

  /** Makes sure that the root is open for as long as `trunk` lives. */
  enter(trunk: Trunk): Known {
    const before = this.#known.get(trunk)
    if (before !== undefined) return before
    const leave = this.root.use()
    const known = { open: 0, account: accountOf(trunk) }
    this.#known.set(trunk, known)
    trunk.closed.then(leave, leave)
    return known
  }
}
