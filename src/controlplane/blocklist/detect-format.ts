/** Tells what a list file is by its content: names and endings of files say nothing reliable. */

import { isIP } from 'node:net'

import { OperationalError } from '../../base/errors.ts'
import { isAdblockLine } from './parse-adblock.ts'
import { isDnsmasqLine } from './parse-dnsmasq.ts'
import { isFreeComment, isHostsLine } from './parse-free-line.ts'
import { isRpzLine } from './parse-rpz.ts'
import { isUnboundLine } from './parse-unbound.ts'
import { isV2flyLine } from './parse-v2fly.ts'

export type ListFormat =
  | 'plain'
  | 'hosts'
  | 'adblock'
  | 'dnsmasq'
  | 'unbound'
  | 'rpz'
  | 'v2fly'
  | 'tsv'

export interface DetectedFormat {
  readonly format: ListFormat
  /** For `tsv`: the 0-based column that holds the names. */
  readonly column: number
}

/** Lines that are looked at: enough to see past the longest head of comments and settings. */
const SIGNIFICANT_LINES_MAX = 500
/** Share of lines, or of cells in a column, that must agree for a table. */
const TABLE_SHARE = 0.9

const HOST_LIKE = /^(?:\*?\.)?[-\w\u0080-\u{10FFFF}]+(?:\.[-\w\u0080-\u{10FFFF}]+)+\.?$/u

/** Octets at the start of files that are no text, and what they are. */
const MAGIC: readonly (readonly [string, string])[] = [
  ['%PDF', 'a PDF document'],
  ['PK\u0003\u0004', 'a zip archive'],
  ['\u001F\u008B', 'gzip packed twice'],
  ['BZh', 'a bzip2 file'],
  ['\u00FD7zXZ\u0000', 'an xz file'],
  ['(\u00B5/\u00FD', 'a zstd file'],
  ['7z\u00BC\u00AF', 'a 7z archive'],
]
const TAR_MAGIC_OFFSET = 257

/**
 * Refuses content that is no list in any form.
 *
 * @param head the start of the text, decompressed.
 * @throws OperationalError ERR_LIST naming what the file looks like.
 */
export function refuseOtherKinds(head: Buffer, file: string): void {
  const kind = otherKind(head)
  if (kind === undefined) return
  throw new OperationalError(
    'ERR_LIST',
    `list ${file} looks like ${kind}, not like a list of names; give a text file, gzip at most`,
    { file },
  )
}

function otherKind(head: Buffer): string | undefined {
  const start = head.toString('latin1', 0, 512)
  for (const [magic, kind] of MAGIC) if (start.startsWith(magic)) return kind
  if (start.startsWith('ustar', TAR_MAGIC_OFFSET)) return 'a tar archive (unpack it first)'
  const text = start.trimStart()
  if (/^<(?:!doctype\s+html|html|head|body|script|!--)/i.test(text)) return 'an HTML page'
  if (/^<\?xml|^<[a-z]+[\s>]/i.test(text)) return 'an XML document'
  if (/^(?:\{\s*"|\{\s*\}|\[\s*["{[\]])/.test(text)) return 'a JSON document'
  return head.includes(0) ? 'a binary file, or UTF-16 without its mark' : undefined
}

/** Tells the format by the lines at the start of the text. */
export function detectFormat(head: Buffer): DetectedFormat {
  const lines = significantLines(head.toString('utf8'))
  const votes = new Map<ListFormat, number>()
  for (const line of lines) {
    const format = lineFormat(line)
    if (format !== undefined) votes.set(format, (votes.get(format) ?? 0) + 1)
  }
  const count = (format: ListFormat): number => votes.get(format) ?? 0
  // Zone and settings files hold nothing that another format would explain better.
  const settings = (['rpz', 'dnsmasq', 'unbound'] as const).find(
    (format) => count(format) * 2 > sum(votes),
  )
  if (settings !== undefined) return { format: settings, column: 0 }
  const column = count('hosts') * 2 > lines.length ? -1 : tableColumn(lines)
  if (column >= 0) return { format: 'tsv', column }
  return { format: freeFormat(count), column: 0 }
}

/** Among the formats that are read line by line, the one most lines have; v2fly names are bare. */
function freeFormat(count: (format: ListFormat) => number): ListFormat {
  const [plain, hosts, adblock, v2fly] = [
    count('plain'),
    count('hosts'),
    count('adblock'),
    count('v2fly'),
  ]
  if (v2fly > 0 && v2fly >= adblock && v2fly >= hosts) return 'v2fly'
  if (hosts >= plain && hosts >= adblock && hosts > 0) return 'hosts'
  return adblock > plain ? 'adblock' : 'plain'
}

function sum(votes: Map<ListFormat, number>): number {
  let total = 0
  for (const count of votes.values()) total += count
  return total
}

function significantLines(text: string): string[] {
  const lines: string[] = []
  // A cut last line of the head could look like anything.
  for (const line of text.split(/\r\n|\n|\r/)) {
    const trimmed = line.trim()
    if (trimmed === '' || isFreeComment(trimmed, false)) continue
    lines.push(trimmed)
    if (lines.length >= SIGNIFICANT_LINES_MAX) break
  }
  return lines
}

function lineFormat(line: string): ListFormat | undefined {
  if (isUnboundLine(line)) return 'unbound'
  if (isDnsmasqLine(line)) return 'dnsmasq'
  if (isV2flyLine(line)) return 'v2fly'
  if (isHostsLine(line)) return 'hosts'
  if (isRpzLine(line)) return 'rpz'
  if (isAdblockLine(line)) return 'adblock'
  return HOST_LIKE.test(line) && isIP(line) === 0 ? 'plain' : undefined
}

/** The column of a table that holds names, or -1. */
function tableColumn(lines: readonly string[]): number {
  const rows = lines.map((line) => line.split('\t'))
  const columns = rows[0]?.length ?? 0
  if (columns < 2) return -1
  const even = rows.filter((row) => row.length === columns)
  if (even.length < rows.length * TABLE_SHARE) return -1
  for (let column = 0; column < columns; column += 1) {
    const names = even.filter((row) => HOST_LIKE.test(row[column]?.trim() ?? '')).length
    if (names >= even.length * TABLE_SHARE) return column
  }
  return -1
}
