/**
 * The floods of flood-rows.ts against `connect()`. In a file of its own, so that both sides run at
 * the same time.
 */
import { floodSuite } from './flood-suite.ts'

floodSuite('connect')
