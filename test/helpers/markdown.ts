/** Tables and code blocks of the project's Markdown pages. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT } from './root.ts'

/** All pages, by their paths from the root. */
export const PAGES: readonly string[] = [
  'README.md',
  'CONTRIBUTING.md',
  'SECURITY.md',
  ...readdirSync(join(ROOT, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`)
    .sort(),
]

/** One fenced block: what stands behind its fence, the lines in it, and where it is. */
export interface CodeBlock {
  readonly info: string
  readonly text: string
  readonly place: string
}

/** The text of a page, by its path from the root. */
export function readPage(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8')
}

/**
 * Cells of each table row whose first cell is code (`` `NAME` ``), that first one without its
 * backticks.
 */
export function codeRows(page: string): string[][] {
  const rows: string[][] = []
  for (const line of readPage(page).split('\n')) {
    const name = /^\| `([^`]+)` \|/.exec(line)?.[1]
    if (name === undefined) continue
    const cells = line.split('|').map((cell) => cell.trim())
    rows.push([name, ...cells.slice(2, -1)])
  }
  return rows
}

/** The fenced code blocks of a page. */
export function codeBlocks(page: string): CodeBlock[] {
  const blocks: CodeBlock[] = []
  let open: { info: string; lines: string[]; at: number } | undefined
  for (const [index, line] of readPage(page).split('\n').entries()) {
    const fence = /^```(.*)$/.exec(line)
    if (fence === null) open?.lines.push(line)
    else if (open === undefined) open = { info: fence[1]?.trim() ?? '', lines: [], at: index + 1 }
    else {
      blocks.push({ info: open.info, text: `${open.lines.join('\n')}\n`, place: `${page}:${open.at}` })
      open = undefined
    }
  }
  return blocks
}
