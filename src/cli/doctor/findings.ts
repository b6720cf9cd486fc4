/** What the doctor has found, and how it is told: one line with a sign, and below it what to do. */
import { printable } from '../../runtime/printable.ts'
import type { Colors } from '../colors.ts'

/** How bad it is. `note` is worth knowing and no fault. */
export type Level = 'ok' | 'note' | 'problem'

/** One thing that was looked at. */
export interface Finding {
  /** Short and stable, for programs: `device`, `permissions`, `peer`. */
  readonly check: string
  readonly level: Level
  /** In one sentence, without a full stop. */
  readonly what: string
  /** What to do about it, a line each; commands are indented. */
  readonly advice?: readonly string[]
  /** What was measured, for programs. */
  readonly values?: Readonly<Record<string, string | number | readonly string[]>>
}

/**
 * Findings, one after the other. What is returned says whether it is worth going on: false where
 * nothing further can work.
 */
export type Findings = AsyncGenerator<Finding, boolean, undefined>

/** As it should be. */
export function ok(check: string, what: string, values?: Finding['values']): Finding {
  return { check, level: 'ok', what, ...(values === undefined ? {} : { values }) }
}

/** Worth knowing. */
export function note(check: string, what: string, ...advice: string[]): Finding {
  return { check, level: 'note', what, ...(advice.length === 0 ? {} : { advice }) }
}

/** Something to put right. */
export function problem(check: string, what: string, ...advice: string[]): Finding {
  return { check, level: 'problem', what, ...(advice.length === 0 ? {} : { advice }) }
}

const SIGNS: Readonly<Record<Level, string>> = { ok: 'ok', note: 'note', problem: 'PROBLEM' }
const SIGN_WIDTH = 9

/**
 * The lines of a finding. What a peer, a device or a process chose is in them: nothing reaches a
 * terminal that it would obey.
 */
export function linesOf(finding: Finding, colors: Colors): string[] {
  const paint = { ok: colors.green, note: colors.yellow, problem: (text: string) => colors.bold(colors.red(text)) }
  const sign = SIGNS[finding.level]
  const first = `${paint[finding.level](sign)}${' '.repeat(SIGN_WIDTH - sign.length)}${printable(finding.what)}`
  const indent = ' '.repeat(SIGN_WIDTH + 2)
  return [first, ...(finding.advice ?? []).map((line) => `${indent}${printable(line)}`)]
}

/** The last line: how many problems there are. */
export function summaryOf(findings: readonly Finding[], colors: Colors): string {
  const problems = findings.filter(({ level }) => level === 'problem').length
  if (problems === 0) return colors.green('No problem found.')
  return colors.red(problems === 1 ? '1 problem found.' : `${problems} problems found.`)
}
