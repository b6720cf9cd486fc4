/**
 * Boots one guest, runs one command in it, and ends with that command's status: for people who want
 * to look.
 *
 * node --import tsx test/vm/boot.ts [--app FOLDER] [--memory MIB] [--processors N] [--verbose]
 * COMMAND
 *
 * FOLDER becomes /app, the folder in which the command runs. What it prints goes to stdout. The
 * host's sockets of the virtio port and of the UART are told on stderr; with --verbose the kernel's
 * messages go there, too. The guest ends with this process.
 */
import { parseArgs } from 'node:util'
import { BedError } from './bed/debian.ts'
import { Guest, GUEST_SERIAL, GUEST_UART } from './bed/guest.ts'
import { prepareBed } from './bed/prepare.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    app: { type: 'string' },
    memory: { type: 'string', default: '1024' },
    processors: { type: 'string', default: '1' },
    verbose: { type: 'boolean', default: false },
  },
})

async function main(): Promise<number> {
  const command = positionals.join(' ')
  if (command === '') {
    console.error('usage: see the head of test/vm/boot.ts')
    return 2
  }
  const guest = await Guest.boot({
    bed: await prepareBed(),
    ...(values.app === undefined ? {} : { app: values.app }),
    memoryMiB: Number(values.memory),
    processors: Number(values.processors),
    verbose: values.verbose,
  })
  console.error(`${GUEST_SERIAL} is ${guest.socket('serial')}\n${GUEST_UART} is ${guest.socket('uart')}`)
  try {
    const job = guest.control.start(command)
    for await (const line of job.lines()) console.log(line)
    return (await job.ended()).status
  } finally {
    await guest.stop()
  }
}

main().then(
  (status) => (process.exitCode = status),
  (error: unknown) => {
    console.error(error instanceof BedError ? error.message : error)
    process.exitCode = 125
  },
)
