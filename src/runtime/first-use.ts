/**
 * What is made when it is first asked for, and kept: a check of messages that most programs never
 * get is not built when its module is loaded.
 */
export function onFirstUse<T extends object>(make: () => T): () => T {
  let made: T | undefined
  return () => (made ??= make())
}
