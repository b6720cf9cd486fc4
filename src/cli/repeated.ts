/** Options that may be given several times. */

/** For commander: each value is parsed, and joins the others. */
export function repeated<T>(parse: (text: string) => T): (text: string, previous: T[] | undefined) => T[] {
  return (text, previous) => [...(previous ?? []), parse(text)]
}
