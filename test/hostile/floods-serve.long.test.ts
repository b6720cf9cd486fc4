/**
 * The floods of flood-rows.ts against `serve()`. In a file of its own, so that both sides run at
 * the same time.
 */
import { floodSuite } from './flood-suite.ts'

floodSuite('serve')
