/**
 * The kinds of values in a configuration: what each accepts, and the words for it. Each accepts
 * what the option of the same name does.
 */
import * as v from 'valibot'
import { TrunkError } from '../../index.ts'
import { schemeOf } from '../../api/scheme.ts'
import { SCHEMES } from '../../api/schemes.ts'
import { addressPolicy } from '../../../protocols/tcp/policy.ts'
import { budgetsOf } from '../budget-option.ts'
import { forwardWords } from '../forward/words.ts'
import { parseProxy } from '../forward/spec.ts'
import { MAX_WAIT_SECONDS } from '../wait.ts'
import { namedCommand } from '../named-command.ts'

/** One kind. */
export interface Kind {
  /** What a value of another type is told to be. */
  readonly wanted: string
  readonly schema: v.GenericSchema
}

/** Text that `check` takes: what it throws says what is wrong, as it does for the option. */
function by(check: (text: string) => unknown): v.GenericSchema<string> {
  return v.pipe(
    v.string(),
    v.rawCheck(({ dataset, addIssue }) => {
      if (!dataset.typed) return
      try {
        check(dataset.value)
      } catch (error) {
        addIssue({ message: error instanceof Error ? error.message : String(error) })
      }
    }),
  )
}

/** What can be said of it without its transport, which the dialling loads: that checks the rest. */
function requireScheme(address: string): void {
  const scheme = schemeOf(address)
  if (!(scheme in SCHEMES))
    throw new TrunkError('ERR_TRANSPORT_UNKNOWN', `there is no transport for ${JSON.stringify(scheme)}`)
}

function requireAbsolute(path: string): void {
  if (!/^(\/|~\/)[^\0]*$/s.test(path)) throw new TrunkError('ERR_BAD_ARGUMENT', 'a path begins with / or ~/')
}

/** Of ports, or of unix sockets, which their own protocol looks at. */
function requireRule(rule: string): void {
  if (!/^unix:[/@]/.test(rule)) addressPolicy([rule], 'it')
}

const text = v.pipe(v.string(), v.nonEmpty('it is empty'))

/** The names of the kinds, as the page gives them. */
export type KindName =
  | 'address'
  | 'path'
  | 'text'
  | 'switch'
  | 'seconds'
  | 'port'
  | 'rules'
  | 'forwards'
  | 'commands'
  | 'named commands'
  | 'users'
  | 'budgets'

/** See the head of this file. */
export const KINDS: Readonly<Record<KindName, Kind>> = {
  address: { wanted: 'an address, as text', schema: by(requireScheme) },
  path: { wanted: 'a path that begins with / or ~/, as text', schema: by(requireAbsolute) },
  text: { wanted: 'text', schema: text },
  switch: { wanted: 'true or false', schema: v.boolean() },
  seconds: {
    wanted: `a number of seconds, more than 0 and at most ${MAX_WAIT_SECONDS}, or inf`,
    schema: v.pipe(
      v.number(),
      v.check((n) => n === Infinity || (n > 0 && n <= MAX_WAIT_SECONDS), 'it is out of bounds'),
    ),
  },
  port: { wanted: '[BIND:]PORT, as text', schema: by(parseProxy) },
  rules: {
    wanted: 'a list of rules HOST:PORT or unix:/PATH, each as text',
    schema: v.array(by(requireRule)),
  },
  forwards: { wanted: 'a list of forwards, each as text', schema: v.array(by(forwardWords)) },
  commands: { wanted: 'a list of commands, each as text', schema: v.array(text) },
  'named commands': { wanted: 'a list of NAME=COMMAND, each as text', schema: v.array(by(namedCommand)) },
  users: { wanted: 'a list of names of users, each as text', schema: v.array(text) },
  budgets: { wanted: 'a list of NAME=SIZE, each as text', schema: v.array(by((one) => budgetsOf([one]))) },
}
