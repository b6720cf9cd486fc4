/**
 * Programs on terminals that tmux keeps and draws: what a user would see, as text with its colours,
 * and the state of the terminal that draws it.
 */
import { execFileSync, spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as after } from 'node:timers/promises'
import { stripVTControlCharacters } from 'node:util'
import { installed } from './installed.ts'
import { endWithTests } from './left-children.ts'

const POLL_MS = 20
/** Before what is said of a terminal: nothing that a program shows. */
const MARK = '\u0001screen '
/** What a terminal remembers of what a program has set, in tmux's names. */
const STATE = [
  'pane_width pane_height cursor_x cursor_y cursor_flag alternate_on insert_flag keypad_cursor_flag keypad_flag',
  'mouse_any_flag mouse_button_flag mouse_sgr_flag mouse_standard_flag origin_flag wrap_flag',
  'scroll_region_upper scroll_region_lower',
]
  .join(' ')
  .split(' ')
  .map((name) => `${name}=#{${name}}`)
  .join(' ')

/** What is seen of a terminal, and what it has been set to. */
export interface Seen {
  /** Without blanks at the end of a line, and empty lines at the end. */
  readonly text: string
  /** The state, and all lines with their colours. */
  readonly whole: string
}

export class Screens {
  readonly #tmux: string
  readonly #socket: string

  private constructor(tmux: string, socket: string) {
    this.#tmux = tmux
    this.#socket = socket
  }

  /**
   * A tmux of our own; it ends with the tests of a file.
   *
   * @param env all that the programs have of an environment, but for TERM
   */
  static async start(folder: string, env: Readonly<Record<string, string>>): Promise<Screens> {
    const { tmux } = installed({ tmux: 'tmux' })
    const screens = new Screens(tmux, join(folder, 'tmux'))
    const settings = join(folder, 'tmux.conf')
    writeFileSync(settings, 'set -g exit-empty off\nset -g status off\n')
    const server = spawn(tmux, ['-D', '-f', settings, '-S', screens.#socket], {
      env: { ...env, TERM: 'xterm-256color' },
      stdio: 'ignore',
    })
    endWithTests(server)
    await screens.until(
      () => screens.#serves(),
      () => new Error('tmux does not serve'),
    )
    return screens
  }

  /** A terminal with `argv` on it. */
  open(name: string, [columns, rows]: readonly [number, number], argv: readonly string[]): void {
    this.#do('new-session', '-d', '-s', name, '-x', String(columns), '-y', String(rows), ...argv)
  }

  /** Keys by tmux's names (`Enter`, `C-c`), on each of them; what is none is typed as it is. */
  type(names: readonly string[], ...keys: string[]): void {
    if (keys.length > 0) this.#each(names, (name) => ['send-keys', '-t', name, ...keys])
  }

  resize(names: readonly string[], [columns, rows]: readonly [number, number]): void {
    this.#each(names, (name) => ['resize-window', '-t', name, '-x', String(columns), '-y', String(rows)])
  }

  look(names: readonly string[]): Seen[] {
    const looking = (name: string): string[] => {
      return ['display-message', '-p', '-t', name, MARK + STATE, ';', 'capture-pane', '-p', '-e', '-t', name]
    }
    const [, ...each] = this.#each(names, looking).split(MARK)
    return each.map((whole) => {
      const [, ...lines] = stripVTControlCharacters(whole).split('\n')
      return {
        whole,
        text: lines
          .map((line) => line.trimEnd())
          .join('\n')
          .trimEnd(),
      }
    })
  }

  close(names: readonly string[]): void {
    this.#each(names, (name) => ['kill-session', '-t', name])
  }

  /** Resolves when `check` holds; rejects with `otherwise` where it does not within `timeoutMs`. */
  async until(check: () => boolean, otherwise: () => Error, timeoutMs = 30_000): Promise<void> {
    const deadline = performance.now() + timeoutMs
    while (!check()) {
      if (performance.now() > deadline) throw otherwise()
      await after(POLL_MS)
    }
  }

  /** The same for each of them, at once. */
  #each(names: readonly string[], command: (name: string) => string[]): string {
    return this.#do(...names.flatMap((name, at) => [...(at === 0 ? [] : [';']), ...command(name)]))
  }

  #serves(): boolean {
    try {
      this.#do('show-options', '-g')
      return true
    } catch {
      return false
    }
  }

  /** Never starts a server of its own, which would outlive us. */
  #do(...words: string[]): string {
    return execFileSync(this.#tmux, ['-N', '-S', this.#socket, ...words], { encoding: 'utf8', stdio: 'pipe' })
  }
}
