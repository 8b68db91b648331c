/** Progress of several lists at once: a bar for each that is at work, where somebody watches. */

import { MiB, SECOND_MS } from '../../base/units.ts'
import type { UpdateProgress } from '../generations/update.ts'
import { groupDigits } from './filter-image.ts'
import type { Terminal } from './terminal.ts'

const REDRAW_MS = 100
const PLAIN_LINE_MS = 5 * SECOND_MS
const BAR_CHARS = 20
const ROWS_MAX = 12

/** Draws on standard error; takes its bars away when something else is to be written. */
export class ListBars {
  readonly #terminal: Terminal
  readonly #now: () => number
  readonly #rows = new Map<string, string>()
  #drawnRows = 0
  #toldMs: number

  constructor(terminal: Terminal, now = () => performance.now()) {
    this.#terminal = terminal
    this.#now = now
    this.#toldMs = now()
  }

  /** Takes a step of the update; a list that is done loses its bar. */
  update(progress: UpdateProgress): void {
    if (progress.phase === 'done') {
      this.#rows.delete(progress.outcome.list)
      this.clear()
      return
    }
    const [key, row] = rowOf(progress)
    this.#rows.set(key, row)
    const intervalMs = this.#terminal.isWatched ? REDRAW_MS : PLAIN_LINE_MS
    if (this.#now() - this.#toldMs < intervalMs) return
    this.#toldMs = this.#now()
    if (this.#terminal.isWatched) this.#draw()
    else this.#terminal.err(`${key}: ${row.trim()}\n`)
  }

  /** Takes the bars away. */
  clear(): void {
    if (this.#drawnRows > 0) this.#terminal.err(`\u001B[${this.#drawnRows}A\r\u001B[0J`)
    this.#drawnRows = 0
  }

  #draw(): void {
    const { columns, err } = this.#terminal
    const rows = [...this.#rows].slice(-ROWS_MAX)
    const wide = Math.max(...rows.map(([key]) => key.length))
    const lines = rows.map(([key, row]) => `${key.padEnd(wide)} ${row}`.slice(0, columns - 1))
    this.clear()
    err(lines.map((line) => `${line}\n`).join(''))
    this.#drawnRows = lines.length
  }
}

function rowOf(progress: Exclude<UpdateProgress, { phase: 'done' }>): [string, string] {
  if (progress.phase === 'fetch') {
    const { list, octets, of } = progress
    const size = `${(octets / MiB).toFixed(1)} MiB`
    return [list, of > 0 ? `${bar(octets / of)} ${size} of ${(of / MiB).toFixed(1)}` : size]
  }
  const { names, namesPerSecond, phase } = progress.compile
  const speed = `${groupDigits(names)} names, ${groupDigits(namesPerSecond)}/s`
  const verb = phase === 'read' ? 'reading' : 'building'
  return progress.phase === 'check'
    ? [progress.list, `${verb}: ${speed}`]
    : ['all lists', `${verb}: ${speed}`]
}

function bar(share: number): string {
  const full = Math.round(Math.min(1, share) * BAR_CHARS)
  return `[${'#'.repeat(full)}${'.'.repeat(BAR_CHARS - full)}]`
}
