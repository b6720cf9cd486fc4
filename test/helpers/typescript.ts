/**
 * TypeScript in a process of its own, as what test/compile.mjs has made of it where this runs that
 * way too, else by a compiler in the process.
 */
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { ROOT } from './root.ts'

/** Set by test/run.mjs: the folder of the compiled modules. */
const compiled = process.env.TRUNKLINE_COMPILED

const escaped = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
/** A module of ours in a program's text: from the root, or by its path or address. */
const MODULE = new RegExp(`(["'])(?:\\./|(?:file://)?${escaped(ROOT)}/)([a-z][\\w./-]*)\\.ts\\1`, 'g')

function compiledWord(word: string, folder: string): string {
  if (word.startsWith(`${ROOT}/`) && word.endsWith('.ts')) return join(folder, `${word.slice(ROOT.length + 1, -3)}.js`)
  return word.replace(MODULE, (_all, _quote, path: string) =>
    JSON.stringify(pathToFileURL(join(folder, `${path}.js`)).href),
  )
}

/**
 * The words for Node that run `words`: `[PATH, ...arguments]` with a `.ts` file's whole path, or
 * `['--input-type=module', '-e', text]`.
 */
export function typeScript(...words: string[]): string[] {
  if (compiled === undefined) return ['--import', 'tsx', ...words]
  return ['--enable-source-maps', ...words.map((word) => compiledWord(word, compiled))]
}
