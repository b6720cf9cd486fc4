/** The keeper: a program beside the addon that starts a command and ends all that comes of it. src/native/keeper/keeper.h is its contract. */
import { builtFile } from './built-file.ts'

/** Its path; undefined where it was not built, which is so where there is no C compiler and on systems other than Linux. */
export function findKeeper(): string | undefined {
  return builtFile('keeper')
}
