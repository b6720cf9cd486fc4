/** What a server that is killed leaves behind: nothing. */
import { describe, it } from 'node:test'
import { keeperLauncher } from '../../../protocols/exec/keeper/launch-keeper.ts'
import { killedAtSomeMoment } from '../../helpers/kept-trees.ts'

describe('a server that is killed', { skip: keeperLauncher() === undefined && 'there is no keeper' }, () => {
  it('[R-609] leaves nothing of the trees of its commands, whenever that is [X16]', async () => {
    for (let round = 0; round < 6; round++) await killedAtSomeMoment()
  })
})
