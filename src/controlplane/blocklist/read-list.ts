/** Reads one list file in any common format into rules, and reports what became of every line. */

import { OperationalError } from '../../base/errors.ts'
import { KiB } from '../../base/units.ts'
import { detectFormat, refuseOtherKinds, type DetectedFormat } from './detect-format.ts'
import { readLines, type FastPrefix } from './fast-names.ts'
import { RuleIntake, type Gates, type WithheldRule } from './intake.ts'
import { LineBlocks } from './line-blocks.ts'
import type { ListReport, ListSource } from './list-source.ts'
import { describeNotRules } from './not-rule.ts'
import { parseDnsmasqLine } from './parse-dnsmasq.ts'
import { parseFreeLine } from './parse-free-line.ts'
import { RpzParser } from './parse-rpz.ts'
import { parseTsvLine } from './parse-tsv.ts'
import { UnboundParser } from './parse-unbound.ts'
import type { RuleSink } from './rule.ts'
import { SourceOctets, type SourceOptions } from './source-octets.ts'

export type { ListReport, ListSource } from './list-source.ts'

/** Text that the format is told by. */
const HEAD_OCTETS = 256 * KiB

export interface ReadOptions extends SourceOptions {
  /** Told after every chunk; `octetsRead` and `octetsTotal` are of the file as stored. */
  readonly onProgress?:
    | ((octetsRead: number, octetsTotal: number, rules: number) => void)
    | undefined
}

/** Where the line that the sink is told of stands: valid during `add` only. */
export class LineCursor {
  block: Buffer = Buffer.alloc(0)
  start = 0

  /** The line's text, without its end. */
  text(): string {
    let end = this.start
    while (end < this.block.length && this.block[end] !== 0x0a && this.block[end] !== 0x0d) end += 1
    return this.block.toString('utf8', this.start, end)
  }
}

interface ReadHooks {
  readonly cursor?: LineCursor
  readonly withheld?: WithheldRule
}

/**
 * Reads a list, gzip or not, and hands its rules to `sink` in the order of its lines.
 *
 * Every line that is neither blank nor a comment gives rules, or is counted under a reason, or is
 * refused or exempted and reported. About 1 us a name.
 *
 * @throws OperationalError ERR_LIST (missing, unreadable, not a list), ERR_LIST_TOO_LARGE,
 *   ERR_LIST_EMPTY (not one rule, refused and exempted ones counted); the signal's reason on abort.
 */
export async function readList(
  source: ListSource,
  sink: RuleSink,
  gates: Gates,
  options: ReadOptions = {},
): Promise<ListReport> {
  return readListWith(source, sink, gates, options, {})
}

/** `readList` with a view of the lines and of the rules that are withheld. */
export async function readListWith(
  source: ListSource,
  sink: RuleSink,
  gates: Gates,
  options: ReadOptions,
  hooks: ReadHooks,
): Promise<ListReport> {
  const intake = new RuleIntake(source, sink, gates, hooks.withheld)
  const octets = new SourceOctets(source.file, options)
  const chunks = octets.chunks()
  try {
    const head = await headOf(chunks)
    refuseOtherKinds(head, source.file)
    const detected = detectFormat(wholeLines(head))
    const parser = await parserOf(detected, source.file, intake, options)
    const blocks = new LineBlocks(blockReader(parser, intake, hooks.cursor))
    const progress = (): void =>
      options.onProgress?.(octets.octetsRead, octets.octetsTotal, intake.rules)
    blocks.push(head)
    progress()
    for await (const chunk of chunks) {
      blocks.push(chunk)
      progress()
    }
    blocks.end()
    const report = reportOf(source, detected, octets, intake)
    refuseEmpty(source, report)
    return report
  } finally {
    await chunks.return(undefined)
  }
}

/** The start of the text; leaves the rest in the generator. */
async function headOf(chunks: AsyncGenerator<Buffer>): Promise<Buffer> {
  const head: Buffer[] = []
  for (let octets = 0; octets < HEAD_OCTETS;) {
    const { value, done } = await chunks.next()
    if (done === true) break
    head.push(value)
    octets += value.length
  }
  return Buffer.concat(head)
}

/** The head up to its last line end: half a line could look like another format. */
function wholeLines(head: Buffer): Buffer {
  if (head.length < HEAD_OCTETS) return head
  const end = Math.max(head.lastIndexOf(0x0a), head.lastIndexOf(0x0d))
  return end < 0 ? head : head.subarray(0, end + 1)
}

interface ListParser {
  readonly prefix: FastPrefix
  /** Takes a line without its end; blanks at its start are kept when `keepsBlanks`. */
  readonly line: (text: string) => void
  readonly keepsBlanks: boolean
}

async function parserOf(
  { format, column }: DetectedFormat,
  file: string,
  intake: RuleIntake,
  options: SourceOptions,
): Promise<ListParser> {
  const commented = (parse: (line: string) => void) => (line: string) => {
    if (line.startsWith('#')) intake.comment()
    else parse(line)
  }
  if (format === 'rpz') {
    const rpz = new RpzParser(intake)
    return { prefix: 'none', keepsBlanks: true, line: (line) => rpz.line(line) }
  }
  if (format === 'unbound') {
    const unbound = new UnboundParser(intake)
    await noteAllLines(file, options, (line) => unbound.note(line))
    return { prefix: 'none', keepsBlanks: false, line: (line) => unbound.line(line) }
  }
  if (format === 'dnsmasq') {
    const line = commented((text) => parseDnsmasqLine(text, intake))
    return { prefix: 'none', keepsBlanks: false, line }
  }
  if (format === 'tsv') {
    const line = commented((text) => parseTsvLine(text, column, intake))
    return { prefix: 'none', keepsBlanks: true, line }
  }
  const adblock = format === 'adblock'
  const prefix = format === 'hosts' ? 'sink' : 'wildcard'
  return { prefix, keepsBlanks: false, line: (line) => parseFreeLine(line, adblock, intake) }
}

/** A first reading of the whole file, for formats whose lines depend on later ones. */
async function noteAllLines(
  file: string,
  options: SourceOptions,
  note: (line: string) => void,
): Promise<void> {
  const blocks = new LineBlocks({
    lines(block, octets) {
      for (const line of block.toString('utf8', 0, octets).split(/\r\n|\n|\r/)) note(line.trim())
    },
    longLine: () => undefined,
  })
  for await (const chunk of new SourceOctets(file, options).chunks()) blocks.push(chunk)
  blocks.end()
}

function blockReader(parser: ListParser, intake: RuleIntake, cursor: LineCursor | undefined) {
  const onLineStart =
    cursor === undefined
      ? undefined
      : (start: number) => {
          cursor.start = start
        }
  return {
    lines(block: Buffer, octets: number): void {
      if (cursor !== undefined) cursor.block = block
      const long = (start: number, end: number): void => readLong(block, start, end, parser, intake)
      readLines(block, octets, parser.prefix, intake, long, onLineStart)
    },
    longLine(start: Buffer): void {
      intake.line += 1
      intake.skip('line-too-long', start.toString('latin1', 0, 200))
    },
  }
}

/** Hands a line to its parser, and sees to it that the line is accounted for. */
function readLong(
  block: Buffer,
  start: number,
  end: number,
  parser: ListParser,
  intake: RuleIntake,
): void {
  let text = block.toString('latin1', start, end)
  if (/[\u0080-\u00FF]/.test(text)) text = block.toString('utf8', start, end)
  const trimmed = text.trim()
  if (trimmed === '') {
    intake.blank()
    return
  }
  const accounted = intake.entries + intake.commentLines
  parser.line(parser.keepsBlanks ? text.trimEnd() : trimmed)
  if (intake.entries + intake.commentLines === accounted) intake.skip('malformed', trimmed)
}

function reportOf(
  source: ListSource,
  { format }: DetectedFormat,
  octets: SourceOctets,
  intake: RuleIntake,
): ListReport {
  return {
    name: source.name,
    category: source.category,
    file: source.file,
    format,
    sha256: octets.sha256(),
    octets: octets.octetsRead,
    textOctets: octets.textOctets,
    lines: intake.line,
    blankLines: intake.blankLines,
    commentLines: intake.commentLines,
    rules: intake.rules,
    exceptions: intake.exceptions,
    notRules: intake.notRules,
    samples: intake.samples,
    refused: intake.refused,
    refusedCount: intake.refusedCount,
    essentialHits: intake.essentialHits,
    exemptedCount: intake.exemptedCount,
    aboveCount: intake.aboveCount,
  }
}

/**
 * A list without a rule is a failed download more often than anything else. Only a curated list
 * that holds comments and nothing else is meant to be empty.
 */
function refuseEmpty(source: ListSource, report: ListReport): void {
  const rules = report.rules + report.exceptions + report.refusedCount + report.exemptedCount
  if (rules > 0) return
  const found = describeNotRules(report.notRules)
  if (source.curated && found.length === 0 && report.commentLines > 0) return
  throw new OperationalError(
    'ERR_LIST_EMPTY',
    `list ${source.file} has no rule (${found.join('; ') || 'comments and blank lines only'}); ` +
      'look into the file or download it again',
    { file: source.file },
  )
}
