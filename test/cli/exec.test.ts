/** `exec` with what starts commands here: standard streams, exit statuses, signals, rules. */
import { everydayExec, USUAL } from './exec-suite.ts'

everydayExec(USUAL)
