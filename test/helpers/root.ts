/** The project's root folder, by itself: what reads one file needs no more. */
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'

export const ROOT: string = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
