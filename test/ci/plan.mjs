/**
 * What .ci/run runs after `npm ci`, in stages: the lanes of a stage run side by side, the parts of
 * a lane one after the other. A part with `isCounted` is one whose tests are added up at the end.
 * What has time limits runs with both processors to itself, but for virtual machines and the soak,
 * which wait more than they compute; what only computes (simulated sessions, the package) yields to
 * the virtual machines beside it. These take longest, so that all that may run beside them does;
 * the soak beside a guest alone made that take twice its time.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Where the other releases of Node are installed, for the guests as well. */
const nodes = mkdtempSync(join(tmpdir(), 'trunkline-nodes-'))
process.on('exit', () => rmSync(nodes, { recursive: true, force: true }))

const RELEASES = ['22', '24', '26']
/** Takes the processor where nobody else wants it. */
const YIELDING = ['nice', '-n', '19']

const guests = RELEASES.map((release) => ({
  name: `a guest with Node ${release}`,
  command: ['npm', 'run', 'test:vm', '--', 'in-guest'],
  env: { TRUNKLINE_VM_NODE: join(nodes, release, 'node_modules/node/bin/node') },
}))

export const stages = [
  [[{ name: 'npm test', command: ['npm', 'test'], isCounted: true }]],
  [[{ name: 'long tests', command: ['npm', 'run', 'test:long'], isCounted: true }]],
  [
    [
      {
        name: 'other releases of Node, and no addon',
        command: ['npm', 'run', 'test:nodes'],
        env: { TRUNKLINE_NODES: nodes },
      },
    ],
  ],
  [
    [{ name: 'virtual machines', command: ['npm', 'run', 'test:vm'] }],
    [
      { name: 'package', command: [...YIELDING, 'npm', 'run', 'check:package'] },
      { name: 'simulation', command: [...YIELDING, 'npm', 'run', 'sim', '--', '--seeds', '10000'] },
      { name: 'soak', command: ['npm', 'run', 'soak', '--', '--minutes', '3'] },
    ],
  ],
  [guests],
]
