/**
 * The standard streams of a program that Node's spawn starts: pipes of the kernel's where the addon
 * makes them, else the sockets that Node makes.
 */
import { closeSync } from 'node:fs'
import type { ChildProcess, StdioOptions } from 'node:child_process'
import { Socket } from 'node:net'
import { loadNative } from '../../src/native/load.ts'
import { launchFailure } from './failures.ts'
import type { Launched, LaunchPlan } from './launch.ts'
import { inputOf, outputOf } from './stream-ends.ts'

/** Our ends. */
export type SpawnStreams = Pick<Launched, 'stdin' | 'stdout' | 'stderr'>

/** What spawn is to be given, and what is to be done after it. */
export interface SpawnPipes {
  readonly stdio: StdioOptions
  /** Our ends, once the program runs. */
  streams(child: ChildProcess): SpawnStreams
  /** Closes everything: the program does not run. */
  drop(): void
}

/** The pipes of a plan. */
export function pipesOf(plan: LaunchPlan): SpawnPipes {
  const native = loadNative()
  return native === undefined ? socketsOf(plan) : kernelPipesOf(plan, () => native.pipe())
}

type Wanted = Pick<LaunchPlan, 'stdin' | 'stdout' | 'stderr'>

function socketsOf({ stdin, stdout, stderr }: Wanted): SpawnPipes {
  return {
    stdio: [stdin, stdout, stderr].map((what) => (what === 'pipe' ? 'pipe' : 'ignore')),
    streams: (child) => ({
      ...(child.stdin && { stdin: inputOf(child.stdin) }),
      ...(child.stdout && { stdout: outputOf(child.stdout) }),
      ...(child.stderr && { stderr: outputOf(child.stderr) }),
    }),
    drop: () => undefined,
  }
}

function kernelPipesOf({ stdin, stdout, stderr }: Wanted, make: () => [read: number, write: number]): SpawnPipes {
  const ours: number[] = []
  const theirs: number[] = []
  const drop = (): void => {
    for (const fd of [...ours.splice(0), ...theirs.splice(0)]) closeSync(fd)
  }
  const pipe = (weWrite: boolean): [our: number, their: number] => {
    const [read, write] = make()
    const pair: [number, number] = weWrite ? [write, read] : [read, write]
    ours.push(pair[0])
    theirs.push(pair[1])
    return pair
  }
  try {
    const input = stdin === 'pipe' ? pipe(true) : undefined
    const output = stdout === 'pipe' ? pipe(false) : undefined
    const errors = stderr === 'pipe' ? pipe(false) : undefined
    const merged = stderr === 'merge' ? output : undefined
    const theirEnds = [input?.[1], output?.[1], (errors ?? merged)?.[1]]
    return {
      stdio: theirEnds.map((fd) => fd ?? 'ignore'),
      streams() {
        for (const fd of theirs.splice(0)) closeSync(fd)
        return {
          ...(input && { stdin: inputOf(new Socket({ fd: input[0], readable: false, writable: true })) }),
          ...(output && { stdout: outputOf(reader(output[0])) }),
          ...(errors && { stderr: outputOf(reader(errors[0])) }),
        }
      },
      drop,
    }
  } catch (error) {
    drop()
    throw launchFailure('execute', (error as NodeJS.ErrnoException).code ?? '', error)
  }
}

function reader(fd: number): Socket {
  return new Socket({ fd, readable: true, writable: false })
}
