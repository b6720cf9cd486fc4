// Swaps a folder and a symbolic link for each other as fast as it can: node swap-links.mjs FOLDER
// OUTSIDE
import { renameSync, symlinkSync, unlinkSync } from 'node:fs'

const [folder, outside] = process.argv.slice(2)
const real = `${folder}.real`
process.stdout.write('swapping\n')
for (let round = 0; ; round++) {
  renameSync(folder, real)
  // the peer may make a folder of that name while there is none: it is put aside
  if (!attempt(() => symlinkSync(outside, folder))) renameSync(folder, `${folder}.aside-${round}`)
  attempt(() => unlinkSync(folder))
  if (!attempt(() => renameSync(real, folder))) {
    renameSync(folder, `${folder}.aside-again-${round}`)
    renameSync(real, folder)
  }
}

function attempt(step) {
  try {
    step()
    return true
  } catch {
    // the other side was quicker
    return false
  }
}
