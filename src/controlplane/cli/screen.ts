/** A terminal that a command has for itself: drawn over and over, given back as it was. */
import type { Terminal } from './terminal.ts'

/** Another screen, no cursor, long lines cut; and back. */
const ENTER = '\u001B[?1049h\u001B[?25l\u001B[?7l'
const LEAVE = '\u001B[?7h\u001B[?25h\u001B[?1049l'
const HOME = '\u001B[H'
const CLEAR_LINE = '\u001B[K'
const CLEAR_BELOW = '\u001B[J'
const CTRL_C = '\u0003'

/** What is done with keys. */
export interface ScreenKeys {
  readonly onQuit: () => void
  readonly onInterrupt: () => void
}

/** The screen of one command, from `enter` to `leave`. */
export class Screen {
  readonly #terminal: Terminal
  readonly #keys: ScreenKeys
  readonly #onData = (data: Buffer): void => this.#pressed(data.toString('latin1'))

  constructor(terminal: Terminal, keys: ScreenKeys) {
    this.#terminal = terminal
    this.#keys = keys
  }

  /** Takes the terminal; a signal that ends the process finds it given back. */
  enter(): void {
    this.#terminal.out(ENTER)
    process.once('exit', this.#restore)
    const { stdin } = process
    if (!stdin.isTTY) return
    stdin.setRawMode(true)
    stdin.on('data', this.#onData)
    stdin.resume()
  }

  /** Draws what `linesFor` makes for the lines that there are at this moment. */
  draw(linesFor: (linesMax: number) => readonly string[]): void {
    const lines = linesFor(this.#terminal.rows() - 1)
    const text = lines.map((line) => `${line}${CLEAR_LINE}\r\n`).join('')
    this.#terminal.out(HOME + text + CLEAR_BELOW)
  }

  leave(): void {
    process.off('exit', this.#restore)
    this.#restore()
    const { stdin } = process
    if (!stdin.isTTY) return
    stdin.off('data', this.#onData)
    stdin.pause()
  }

  /** Without keys: that has to do when the process ends at once. */
  readonly #restore = (): void => {
    if (process.stdin.isTTY) process.stdin.setRawMode(false)
    this.#terminal.out(LEAVE)
  }

  #pressed(keys: string): void {
    // In raw mode Ctrl-C is a letter like others.
    if (keys.includes(CTRL_C)) this.#keys.onInterrupt()
    else if (/[qQ]/.test(keys)) this.#keys.onQuit()
  }
}
