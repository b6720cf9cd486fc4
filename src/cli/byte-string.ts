/**
 * The arguments and the environment of this process as byte strings (src/runtime/byte-string.ts).
 */
import { readFileSync } from 'node:fs'
import { badArgument } from '../contracts/errors.ts'
import { byteString, escapedText, fromBytes, toBytes } from '../runtime/byte-string.ts'

/**
 * The process's arguments with escapes in them. Node decodes them as UTF-8 and loses what is not;
 * Linux keeps the bytes in /proc. Where nobody keeps them, an argument that may have lost some is
 * refused: it could name another file.
 */
export function rawArguments(args: readonly string[]): string[] {
  if (!args.some(isLossy)) return [...args]
  const raw = (entriesOf('/proc/self/cmdline') ?? []).slice(-args.length).map((bytes) => escapedText(fromBytes(bytes)))
  if (raw.length === args.length && raw.every((text, i) => decoded(text) === args[i])) return raw
  throw badArgument(
    `an argument holds bytes that are not UTF-8, and this system does not tell which: ${args.find(isLossy)}`,
  )
}

/** The environment, with the variables of trunkline as {@link rawArguments} gives arguments. */
export function rawEnvironment(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const lossy = Object.entries(env).filter(([name, value]) => name.startsWith('TRUNKLINE_') && isLossy(value ?? ''))
  if (lossy.length === 0) return env
  const entries = (entriesOf('/proc/self/environ') ?? []).map((bytes) => escapedText(fromBytes(bytes)))
  const raw = { ...env }
  for (const [name, value] of lossy) {
    const entry = entries.find((text) => text.startsWith(`${name}=`))?.slice(name.length + 1)
    // U+DCBD stands for no byte of UTF-8 text: what takes the variable refuses it, or finds no such
    // file
    raw[name] = entry !== undefined && decoded(entry) === value ? entry : value?.replaceAll('\uFFFD', '\uDCBD')
  }
  return raw
}

/** Whether it may have lost bytes when Node decoded it. */
function isLossy(text: string): boolean {
  return text.includes('\uFFFD')
}

/** What Node makes of the bytes. */
function decoded(text: string): string {
  return toBytes(byteString(text)).toString('utf8')
}

function entriesOf(file: '/proc/self/cmdline' | '/proc/self/environ'): Buffer[] | undefined {
  try {
    return splitAtZero(readFileSync(file))
  } catch {
    return undefined // no /proc: nobody keeps the bytes
  }
}

function splitAtZero(bytes: Buffer): Buffer[] {
  const parts: Buffer[] = []
  for (let from = 0; from < bytes.length;) {
    const zero = bytes.indexOf(0, from)
    const to = zero === -1 ? bytes.length : zero
    parts.push(bytes.subarray(from, to))
    from = to + 1
  }
  return parts
}
