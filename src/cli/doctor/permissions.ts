/** May we read and write it? If not: whose it is, and what would let us in. */
import { accessSync, constants, type Stats } from 'node:fs'
import { formatMode } from '../format.ts'
import { ok, problem, type Finding } from './findings.ts'
import { accountName, at, type Machine } from './machine.ts'

const GROUP_READ_WRITE = 0o060
/** What ordinary users are in a group for; never `root`, which would give away the machine. */
const ROOT_GROUP = 0

function may(path: string, mode: number): boolean {
  try {
    accessSync(path, mode)
    return true
  } catch {
    return false // why is told by the owner and the mode
  }
}

/** Whether we may read and write the device or socket at `path`, whose `stats` these are. */
export function examinePermissions(machine: Machine, path: string, stats: Stats): Finding {
  const real = at(machine, path)
  const read = may(real, constants.R_OK)
  const write = may(real, constants.W_OK)
  if (read && write) return ok('permissions', 'we may read and write it')
  const user = accountName(machine, 'passwd', machine.uid)
  const owner = accountName(machine, 'passwd', stats.uid)
  const group = accountName(machine, 'group', stats.gid)
  const mode = formatMode('file', stats.mode & 0o777).slice(1)
  const missing = read ? 'write' : write ? 'read' : 'neither read nor write'
  const what = `${user} may ${read || write ? `not ${missing}` : missing} ${path}: it belongs to ${owner}, group ${group}, mode ${mode}`
  const groupMay = (stats.mode & GROUP_READ_WRITE) === GROUP_READ_WRITE && stats.gid !== ROOT_GROUP
  if (groupMay) {
    return problem('permissions', what, 'Join the group, then log in again:', `  sudo usermod -aG ${group} ${user}`)
  }
  return problem(
    'permissions',
    what,
    `Give it to ${user}, or run trunkline as ${owner}; a device that comes back needs a udev rule for it to last:`,
    `  sudo chown ${user} ${path}`,
  )
}

/** A folder on the way to `path` that we may not enter; undefined where there is none. */
export function closedFolder(machine: Machine, path: string): string | undefined {
  const parts = path.split('/').slice(1, -1)
  for (let count = 1; count <= parts.length; count += 1) {
    const folder = `/${parts.slice(0, count).join('/')}`
    // it is missing: that is for others to say
    if (!may(at(machine, folder), constants.F_OK)) return undefined
    if (!may(at(machine, folder), constants.X_OK)) return folder
  }
  return undefined
}
