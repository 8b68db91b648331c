/**
 * Reads a tar.gz archive in the layout of Toulouse (UT1): one folder a section with `domains`,
 * `urls`, `expressions` and `usage`. It becomes one text list: names of black sections as rules,
 * names of white sections as exceptions, which open this list's own rules and no other's.
 *
 * Nothing is ever written to a path that the archive names.
 */

import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { rm } from 'node:fs/promises'
import { finished } from 'node:stream/promises'
import type { Extract } from 'tar-stream'

import { OperationalError } from '../../../base/errors.ts'
import { KiB } from '../../../base/units.ts'
import { LineBlocks } from '../line-blocks.ts'
import { SourceOctets } from '../source-octets.ts'

/** The whole UT1 archive has about 400 entries. */
const ENTRIES_MAX = 10_000
/** A `usage` file is one to three words. */
const USAGE_OCTETS_MAX = 4 * KiB
/** `blacklists/adult/domains`, `./adult/domains`, `adult/domains`. */
const ENTRY_PATH = /^(?:\.\/)?(?:[\w-]+\/)?([\w-]+)\/(domains|urls|expressions|usage)$/
const NAME_LINE = /^[\w.-]+$/

/** How a section is used: `white` opens names, everything else blocks them. */
export type SectionUse = 'black' | 'white'

/** What an archive held of one section. */
export interface SectionReport {
  readonly section: string
  readonly use: SectionUse
  /** Lines of `domains`. */
  readonly names: number
  /** Lines that DNS cannot enforce: it sees neither paths nor patterns. */
  readonly urls: number
  readonly expressions: number
}

export interface UnpackOptions {
  /** Folders to take; undefined: all that have `domains`. */
  readonly sections?: readonly string[] | undefined
  readonly signal?: AbortSignal | undefined
}

/** A file of the archive while its turn lasts. */
type Entry = { readonly resume: () => unknown } & AsyncIterable<unknown>

interface Counts {
  usage: string
  names: number
  urls: number
  expressions: number
}

/**
 * Unpacks `archive` into the list file `target`. The archive is read twice, as a stream: its
 * `usage` may stand behind the names that it speaks of.
 *
 * @throws OperationalError ERR_LIST (no archive, damaged, a section is missing, a path that leads
 *   out of it), ERR_LIST_TOO_LARGE, ERR_WRITE.
 */
export async function unpackUt1(
  archive: string,
  target: string,
  options: UnpackOptions = {},
): Promise<readonly SectionReport[]> {
  const counted = await countSections(archive, options)
  const wanted = options.sections ?? [...counted.keys()]
  const sections = wanted.flatMap((section) => {
    const counts = counted.get(section)
    return counts === undefined ? [] : [sectionReport(section, counts)]
  })
  const missing = wanted.filter((section) => (counted.get(section)?.names ?? 0) === 0)
  if (missing.length > 0 || sections.length === 0) {
    const what = missing.length > 0 ? `no names of section ${missing.join(', ')}` : 'no section'
    throw refused(archive, `${what}; it has ${[...counted.keys()].join(', ') || 'none at all'}`)
  }
  await writeList(archive, target, sections, options)
  return sections
}

/** A section whose author allows both uses blocks: who subscribes to it has chosen. */
function sectionReport(section: string, { usage, names, urls, expressions }: Counts) {
  const words = usage.split(/\s+/)
  const use: SectionUse = words.includes('white') && !words.includes('black') ? 'white' : 'black'
  return { section, use, names, urls, expressions }
}

async function countSections(
  archive: string,
  options: UnpackOptions,
): Promise<Map<string, Counts>> {
  const sections = new Map<string, Counts>()
  await walk(archive, options, async (section, part, entry) => {
    const counts = sections.get(section) ?? { usage: '', names: 0, urls: 0, expressions: 0 }
    sections.set(section, counts)
    if (part === 'usage') counts.usage += await smallText(entry, archive)
    else counts[part === 'domains' ? 'names' : part] += await countLines(entry)
  })
  return sections
}

async function writeList(
  archive: string,
  target: string,
  sections: readonly SectionReport[],
  options: UnpackOptions,
): Promise<void> {
  const out = createWriteStream(target, { flags: 'w', mode: 0o640, flush: true })
  const written = finished(out)
  written.catch(() => undefined)
  const write = async (text: string): Promise<void> => {
    // A failed stream rejects `written`, which is awaited at the end.
    if (!out.write(text) && !out.destroyed) await Promise.race([once(out, 'drain'), written])
  }
  try {
    await walk(archive, options, async (section, part, entry) => {
      const use = sections.find((known) => known.section === section)?.use
      if (part !== 'domains' || use === undefined) {
        entry.resume()
        return
      }
      await write(`# ${section} (${use})\n`)
      await eachBlock(entry, (block) => write(use === 'black' ? block : exceptions(block)))
    })
    out.end()
    await written
  } catch (cause) {
    out.destroy()
    await rm(target, { force: true }).catch(() => undefined)
    throw isSystemFault(cause) ? unwritable(target, cause) : cause
  }
}

/** Lines of names as exceptions in the adblock grammar; other lines stay, to be counted. */
function exceptions(block: string): string {
  return block
    .split(/\r\n|\n|\r/)
    .map((line) => (NAME_LINE.test(line) ? `@@||${line}^` : line))
    .join('\n')
}

type Part = 'domains' | 'urls' | 'expressions' | 'usage'
type EntryVisitor = (section: string, part: Part, entry: Entry) => Promise<void>

function isPart(text: string | undefined): text is Part {
  return text === 'domains' || text === 'urls' || text === 'expressions' || text === 'usage'
}

/** Visits the files of all sections; every other entry is passed over. */
async function walk(archive: string, options: UnpackOptions, visit: EntryVisitor): Promise<void> {
  const { extract } = await import('tar-stream')
  const octets = new SourceOctets(archive, { signal: options.signal })
  const entries = extract()
  // Errors are met where entries are awaited; one that comes later must not end the process.
  entries.on('error', () => undefined)
  const feeding = feed(octets.chunks(), entries)
  feeding.catch(() => undefined)
  let count = 0
  try {
    for await (const entry of entries) {
      count += 1
      if (count > ENTRIES_MAX) throw refused(archive, `more than ${ENTRIES_MAX} entries`)
      const { name, type } = entry.header
      if (name.startsWith('/') || name.split('/').includes('..')) {
        throw refused(archive, `the path "${printable(name)}" leads out of the archive`)
      }
      const [, section, part] = (type === 'file' && ENTRY_PATH.exec(name)) || []
      if (section === undefined || !isPart(part)) entry.resume()
      else await visit(section, part, entry)
    }
    await feeding
  } catch (cause) {
    if (cause instanceof OperationalError || isSystemFault(cause)) throw cause
    options.signal?.throwIfAborted()
    const why = cause instanceof Error ? cause.message : String(cause)
    throw refused(archive, `it is no tar archive, or cut short (${why})`)
  } finally {
    entries.destroy()
    await feeding.catch(() => undefined)
  }
  if (count === 0) throw refused(archive, 'it holds nothing')
}

/** Writes the chunks into the tar reader; ends early, without an error, when that was destroyed. */
async function feed(chunks: AsyncIterable<Buffer>, entries: Extract): Promise<void> {
  const closed = once(entries, 'close')
  closed.catch(() => undefined)
  try {
    for await (const chunk of chunks) {
      if (entries.destroyed) return
      if (!entries.write(chunk)) await Promise.race([once(entries, 'drain'), closed])
    }
    entries.end(undefined)
  } catch (cause) {
    entries.destroy(cause instanceof Error ? cause : new Error(String(cause)))
    throw cause
  }
}

/** Hands on blocks of whole lines, each with its line end. */
async function eachBlock(
  entry: Entry,
  take: (block: string) => Promise<void> | void,
): Promise<void> {
  const ready: string[] = []
  const blocks = new LineBlocks({
    lines: (block, octets) => void ready.push(block.toString('latin1', 0, octets)),
    longLine: (start) => void ready.push(start.toString('latin1', 0, 200)),
  })
  const drain = async (): Promise<void> => {
    for (const block of ready.splice(0)) await take(block.endsWith('\n') ? block : `${block}\n`)
  }
  for await (const chunk of entry) {
    if (Buffer.isBuffer(chunk)) blocks.push(chunk)
    await drain()
  }
  blocks.end()
  await drain()
}

async function countLines(entry: Entry): Promise<number> {
  let lines = 0
  await eachBlock(entry, (block) => {
    for (const line of block.split(/\r\n|\n|\r/)) if (line.trim() !== '') lines += 1
  })
  return lines
}

async function smallText(entry: Entry, archive: string): Promise<string> {
  let text = ''
  for await (const chunk of entry) {
    text += Buffer.isBuffer(chunk) ? chunk.toString('latin1') : ''
    if (text.length > USAGE_OCTETS_MAX) throw refused(archive, 'a usage file is no usage file')
  }
  return `${text}\n`
}

function printable(text: string): string {
  return text.slice(0, 80).replaceAll(/[^\u0020-\u007E]/g, '?')
}

function isSystemFault(cause: unknown): boolean {
  return cause instanceof Error && 'syscall' in cause
}

function refused(archive: string, why: string): OperationalError {
  return new OperationalError('ERR_LIST', `archive ${archive}: ${why}`, { file: archive })
}

function unwritable(file: string, cause: unknown): OperationalError {
  const why = cause instanceof Error ? cause.message : String(cause)
  return new OperationalError('ERR_WRITE', `cannot write ${file}: ${why}`, { file, cause })
}
