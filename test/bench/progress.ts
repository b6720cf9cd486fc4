/**
 * How far a run is, on stderr: one line that is written over on a terminal, a line for each row and
 * contender elsewhere, so that a log can be followed.
 */

export interface Progress {
  /** A row begins. */
  step(key: string): void
  /** A contender is asked. */
  asking(name: string): void
  /** A contender is through with the row, after `ms` in all its rounds. */
  done(name: string, ms: number, outcome: string): void
  /** The last row is over. */
  end(): void
}

const seconds = (ms: number): string => (ms / 1000).toFixed(1)

/** For `steps` rows. */
export function progressOf(steps: number, stream: Pick<NodeJS.WriteStream, 'isTTY' | 'write'>): Progress {
  const startedAt = performance.now()
  let number = 0
  let key = ''
  const elapsed = (): string => `${((performance.now() - startedAt) / 1000).toFixed(0).padStart(4)} s`
  const place = (): string => `${elapsed()}  ${String(number).padStart(2)}/${steps} ${key}`
  return {
    step(next) {
      number++
      key = next
    },
    asking(name) {
      if (stream.isTTY) stream.write(`\r\u001b[K${place()}: ${name}`)
    },
    done(name, ms, outcome) {
      if (!stream.isTTY) stream.write(`${place()}: ${name}: ${outcome} in ${seconds(ms)} s\n`)
    },
    end() {
      if (stream.isTTY) stream.write('\r\u001b[K')
    },
  }
}
