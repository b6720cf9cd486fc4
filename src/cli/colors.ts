/**
 * Colours and weights of text; each leaves it as it is where colours are off. Not a package's:
 * theirs open standard output to look what it is.
 */
import { styleText } from 'node:util'

const STYLES = ['bold', 'dim', 'red', 'green', 'yellow', 'blue', 'cyan'] as const

/** See the head of this file. */
export type Colors = Readonly<Record<(typeof STYLES)[number], (text: string) => string>>

/** The colours of an output that has some, or none. */
export function colorsOf(enabled: boolean): Colors {
  const styles = STYLES.map((style): [string, (text: string) => string] => [
    style,
    enabled ? (text) => styleText(style, text, { validateStream: false }) : (text) => text,
  ])
  return Object.fromEntries(styles) as Colors
}
