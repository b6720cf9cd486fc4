/** Promises whose failure reaches whoever waits for them, and ends no process where nobody does. */

export function ignore(): void {
  // the same failure reaches whoever waits on the promise itself
}

/** A rejected promise that ends no process where nobody waits for it. */
async function rejection(error: unknown): Promise<never> {
  throw error
}

export function rejected(error: unknown): Promise<never> {
  const promise = rejection(error)
  promise.catch(ignore)
  return promise
}
