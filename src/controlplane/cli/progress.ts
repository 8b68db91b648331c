/** Progress of a long command: a bar where somebody watches, else a plain line now and then. */

import { SECOND_MS } from '../../base/units.ts'
import type { Terminal } from './terminal.ts'

/** Often enough to look alive, seldom enough to cost nothing. */
const REDRAW_MS = 100
const PLAIN_LINE_MS = 5 * SECOND_MS
const BAR_CHARS = 24

export interface Progress {
  /** Tells how far it is; `total` 0 when nobody knows. */
  readonly update: (done: number, total: number, what: string) => void
  /** Takes the bar away. */
  readonly end: () => void
}

/** Starts a progress display on standard error; the first sign of it comes after one interval. */
export function startProgress(terminal: Terminal, now = () => performance.now()): Progress {
  const { isWatched, columns, err } = terminal
  const intervalMs = isWatched ? REDRAW_MS : PLAIN_LINE_MS
  let toldMs = now()
  let isDrawn = false
  return {
    update: (done, total, what) => {
      if (now() - toldMs < intervalMs) return
      toldMs = now()
      const share = total > 0 ? Math.min(1, done / total) : undefined
      if (!isWatched) {
        err(`${percent(share)}${what}\n`)
        return
      }
      isDrawn = true
      const line = `${bar(share)}${percent(share)}${what}`
      err(`\r\u001B[2K${line.slice(0, Math.max(1, columns - 1))}`)
    },
    end: () => {
      if (isDrawn) err('\r\u001B[2K')
      isDrawn = false
    },
  }
}

function percent(share: number | undefined): string {
  return share === undefined ? '' : `${Math.floor(share * 100)} % `.padStart(6)
}

function bar(share: number | undefined): string {
  if (share === undefined) return ''
  const full = Math.round(share * BAR_CHARS)
  return `[${'#'.repeat(full)}${'.'.repeat(BAR_CHARS - full)}] `
}
