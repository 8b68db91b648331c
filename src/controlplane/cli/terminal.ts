/**
 * Where a command writes: data to standard output, messages to standard error, colour where
 * somebody looks.
 */

import { styleText } from 'node:util'

type Style = 'bold' | 'dim' | 'green' | 'red' | 'yellow'

export interface Terminal {
  /** Writes data. */
  readonly out: (text: string) => void
  /** Writes messages for people. */
  readonly err: (text: string) => void
  /** Colours text for standard output, or leaves it. Meaning never hangs on colour alone. */
  readonly paint: (style: Style, text: string) => string
  readonly paintErr: (style: Style, text: string) => string
  /** Whether somebody watches standard error, and a line there may be rewritten. */
  readonly isWatched: boolean
  /** Characters of a line on standard error. */
  readonly columns: number
  /** Whether somebody watches standard output, and all of it may be drawn anew. */
  readonly isScreen: boolean
  /** Lines that standard output has room for at this moment. */
  readonly rows: () => number
}

/** What a terminal needs of `process.stdout` and `process.stderr`. */
export interface OutputStream {
  readonly write: (text: string) => unknown
  readonly isTTY?: boolean | undefined
  readonly columns?: number | undefined
  readonly rows?: number | undefined
}

type Environment = Readonly<Record<string, string | undefined>>

const COLUMNS_DEFAULT = 80
const ROWS_DEFAULT = 24

/** Makes the terminal of a process, or of a test. */
export function createTerminal(
  stdout: OutputStream,
  stderr: OutputStream,
  environment: Environment,
): Terminal {
  return {
    out: (text) => void stdout.write(text),
    err: (text) => void stderr.write(text),
    paint: painter(hasColour(stdout, environment)),
    paintErr: painter(hasColour(stderr, environment)),
    isWatched: stderr.isTTY === true && environment['TERM'] !== 'dumb',
    columns: stderr.columns ?? COLUMNS_DEFAULT,
    isScreen: stdout.isTTY === true && environment['TERM'] !== 'dumb',
    rows: () => stdout.rows ?? ROWS_DEFAULT,
  }
}

function painter(isColoured: boolean): Terminal['paint'] {
  if (!isColoured) return (_style, text) => text
  return (style, text) => styleText(style, text, { validateStream: false })
}

/** As Node.js decides: FORCE_COLOR over NO_COLOR over TERM=dumb over what the stream is. */
function hasColour(stream: OutputStream, environment: Environment): boolean {
  const forced = environment['FORCE_COLOR']
  if (forced !== undefined) return forced !== '0' && forced !== 'false'
  if (environment['NO_COLOR']) return false
  return stream.isTTY === true && environment['TERM'] !== 'dumb'
}

/**
 * Makes a text fit for a terminal: control characters and octets outside ASCII, which a name from
 * the network may hold, become `\DDD` (RFC 1035 5.1).
 */
export function printable(text: string): string {
  return text.replaceAll(
    /[^\u0020-\u007E]/g,
    (char) => `\\${String(char.charCodeAt(0)).padStart(3, '0')}`,
  )
}

/** Lines of columns, each as wide as its widest cell; the last column is not padded. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths: number[] = []
  for (const row of rows) {
    for (const [column, cell] of row.entries()) {
      widths[column] = Math.max(widths[column] ?? 0, cell.length)
    }
  }
  const lines = rows.map((row) =>
    row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  '),
  )
  return lines.map((line) => `${line.trimEnd()}\n`).join('')
}
