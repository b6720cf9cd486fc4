/**
 * Which file imports what, read from the sources: static, dynamic and type imports, relative ones
 * resolved to paths from the root.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join, posix } from 'node:path'
import ts from 'typescript'
import { ROOT } from './root.ts'

/**
 * Path of a file from the root to the modules it names: `src/contracts/errors.ts`, `node:net`,
 * `valibot`.
 */
export type ImportTable = ReadonlyMap<string, readonly string[]>

/** The `.ts` files below a folder, as paths from the root with forward slashes. */
export function sourceFiles(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .map((name) => posix.join(folder, name.replaceAll('\\', '/')))
    .filter((path) => path.endsWith('.ts') && !path.includes('/node_modules/'))
    .sort()
}

/** What the source text of the file at `path` imports. */
export function importsOf(path: string, text: string): string[] {
  return ts.preProcessFile(text, true, true).importedFiles.map(({ fileName }) => {
    return fileName.startsWith('.') ? posix.join(posix.dirname(path), fileName) : fileName
  })
}

/** The imports of every source file below `folders`. */
export function importTable(folders: readonly string[]): ImportTable {
  const files = folders.flatMap(sourceFiles)
  return new Map(files.map((path) => [path, importsOf(path, readFileSync(join(ROOT, path), 'utf8'))]))
}

/** Everything that `start` loads, itself included: files and packages. */
export function reachableFrom(table: ImportTable, start: readonly string[]): Set<string> {
  const reached = new Set<string>()
  const waiting = [...start]
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    if (reached.has(next)) continue
    reached.add(next)
    waiting.push(...(table.get(next) ?? []))
  }
  return reached
}

/**
 * The circles of a table: files that import each other, directly or through others. Tarjan's
 * components of more than one.
 */
export function circlesOf(table: ImportTable): string[][] {
  const order = new Map<string, number>()
  const lowest = new Map<string, number>()
  const stack: string[] = []
  const circles: string[][] = []
  const visit = (path: string): number => {
    order.set(path, order.size)
    let low = order.size - 1
    stack.push(path)
    for (const imported of table.get(path) ?? []) {
      if (!table.has(imported)) continue
      if (imported === path) circles.push([path])
      if (!order.has(imported)) low = Math.min(low, visit(imported))
      else if (stack.includes(imported)) low = Math.min(low, lowest.get(imported) ?? order.get(imported)!)
    }
    lowest.set(path, low)
    if (low < order.get(path)!) return low
    const circle = stack.splice(stack.indexOf(path))
    if (circle.length > 1) circles.push(circle.sort())
    return low
  }
  for (const path of table.keys()) if (!order.has(path)) visit(path)
  return circles
}
