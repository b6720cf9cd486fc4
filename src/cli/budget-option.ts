/**
 * `serve --budget NAME=SIZE`: how much all trunks of a server may have together of what they share.
 */
import { createBudgets, type Budgets, type BudgetSizes } from '../index.ts'
import { about, usageError } from './failure.ts'

const UNITS: Readonly<Record<string, number>> = { '': 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 }

/**
 * The budgets that were given, undefined where none was. Throws a usage error for a form, a name or
 * a size that there is not.
 */
export function budgetsOf(given: readonly string[]): Budgets | undefined {
  if (given.length === 0) return undefined
  const sizes = new Map<string, number>()
  for (const text of given) {
    const [, name, number, unit = ''] = /^(\w+)=(\d{1,15})([KMGT]?)$/.exec(text) ?? []
    if (name === undefined) throw usageError(`--budget ${text}: NAME=SIZE is wanted, as in transferBytes=64M`)
    if (sizes.has(name)) throw usageError(`--budget ${name} was given twice`)
    sizes.set(name, Number(number) * (UNITS[unit] ?? 1))
  }
  try {
    return createBudgets(Object.fromEntries(sizes) as Partial<BudgetSizes>)
  } catch (error) {
    throw about('--budget', error)
  }
}
