/**
 * What must not be left as it is when the process ends, however that comes; done at once, and once.
 */
const words = new Set<() => void>()

/** Has `word` called at the end, unless the result is called before. It may not throw. */
export function atLast(word: () => void): () => void {
  words.add(word)
  return () => words.delete(word)
}

/** To be called where the process is about to end. */
export function lastWords(): void {
  for (const word of words) word()
  words.clear()
}
