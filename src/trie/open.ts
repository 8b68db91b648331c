/** Opens a compiled blocklist: checks all of it once, so that lookups need to check nothing. */

import { OperationalError } from '../base/errors.ts'
import { imageDigest } from './digest.ts'
import {
  DIGEST_OCTETS,
  FORMAT_VERSION,
  HEADER_OCTETS,
  MAGIC,
  OFFSET_DIGEST,
  OFFSET_OCTETS,
  OFFSET_SECTION_COUNT,
  OFFSET_VERSION,
  SECTION_ALIGN,
  SECTION_BLOCK_STARTS,
  SECTION_BLOCKS,
  SECTION_ENTRY_OCTETS,
  SECTION_META,
  SECTION_OPENINGS,
  SECTION_VERDICTS,
  SECTIONS_MAX,
} from './layout.ts'
import { parseMeta } from './meta.ts'
import type { TrieList } from './meta.ts'

/** A part of an image and what it takes. */
export interface TrieSection {
  readonly name: string
  readonly octets: number
}

/**
 * An opened image: facts for people, and views for the lookup. Immutable, shared by all threads.
 */
export interface Trie {
  readonly buffer: SharedArrayBuffer | ArrayBuffer
  /** The category of bit `i` of every verdict. */
  readonly categories: readonly string[]
  readonly lists: readonly TrieList[]
  /** SHA-256 of the image in hexadecimal: equal digests, equal verdicts. */
  readonly digest: string
  /** Stored names. */
  readonly names: number
  readonly octets: number
  readonly sections: readonly TrieSection[]
  /**
   * Four integers a verdict: categories and list of the name itself, then of the names below it.
   */
  readonly verdicts: Int32Array
  /** Sorted hashes of names with something less blocked below them. */
  readonly openings: Uint32Array
  readonly blockStarts: Uint32Array
  readonly blocks: Uint8Array
}

const SECTION_NAMES: Readonly<Record<number, string>> = {
  [SECTION_META]: 'lists and categories',
  [SECTION_VERDICTS]: 'verdicts',
  [SECTION_OPENINGS]: 'openings',
  [SECTION_BLOCK_STARTS]: 'block starts',
  [SECTION_BLOCKS]: 'names',
}

const COMPILE_AGAIN = 'compile the lists again with "niveau3 lists compile"'

/**
 * Opens an image.
 *
 * Reads every octet once (checksum), keeps views into the buffer and copies nothing but the texts.
 *
 * @throws OperationalError ERR_IMAGE when the image is damaged or no image at all,
 *   ERR_IMAGE_VERSION when another version of niveau3 made it.
 */
export function openTrie(buffer: SharedArrayBuffer | ArrayBuffer): Trie {
  const bytes = new Uint8Array(buffer)
  const sections = openSections(bytes)
  const meta = parseMeta(textOf(part(sections, SECTION_META)), damaged)
  const verdicts = part(sections, SECTION_VERDICTS)
  const openings = part(sections, SECTION_OPENINGS)
  const blockStarts = part(sections, SECTION_BLOCK_STARTS)
  return {
    buffer,
    ...meta,
    digest: Buffer.from(bytes.slice(OFFSET_DIGEST, OFFSET_DIGEST + DIGEST_OCTETS)).toString('hex'),
    octets: bytes.length,
    sections: [...sections].map(([id, { length }]) => ({
      name: SECTION_NAMES[id] ?? `section ${id}`,
      octets: length,
    })),
    verdicts: new Int32Array(buffer, verdicts.byteOffset, verdicts.length >>> 2),
    openings: new Uint32Array(buffer, openings.byteOffset, openings.length >>> 2),
    blockStarts: new Uint32Array(buffer, blockStarts.byteOffset, blockStarts.length >>> 2),
    blocks: part(sections, SECTION_BLOCKS),
  }
}

/** Checks the header, the checksum and the section table; returns the sections by number. */
function openSections(bytes: Uint8Array): Map<number, Uint8Array> {
  if (bytes.length < HEADER_OCTETS) {
    throw damaged(`it has ${bytes.length} octets, less than a header`)
  }
  if (MAGIC.some((octet, at) => bytes[at] !== octet)) {
    throw new OperationalError(
      'ERR_IMAGE',
      `not a compiled blocklist: it does not start with its mark; ${COMPILE_AGAIN}`,
    )
  }
  const view = new DataView(bytes.buffer)
  refuseOtherVersions(view)
  const octets = view.getUint32(OFFSET_OCTETS, true)
  if (octets !== bytes.length) {
    throw damaged(`it has ${bytes.length} octets where its header says ${octets}`)
  }
  const expected = bytes.subarray(OFFSET_DIGEST, OFFSET_DIGEST + DIGEST_OCTETS)
  if (imageDigest(bytes).some((octet, at) => octet !== expected[at])) {
    throw damaged('its checksum does not match its content')
  }
  return readSectionTable(bytes, view)
}

function refuseOtherVersions(view: DataView): void {
  const version = view.getUint32(OFFSET_VERSION, true)
  if (version === FORMAT_VERSION) return
  const advice =
    version > FORMAT_VERSION
      ? `a newer niveau3 made it; update niveau3, or ${COMPILE_AGAIN}`
      : COMPILE_AGAIN
  throw new OperationalError(
    'ERR_IMAGE_VERSION',
    `the compiled blocklist has format ${version}, this niveau3 reads format ${FORMAT_VERSION}: ${advice}`,
  )
}

function readSectionTable(bytes: Uint8Array, view: DataView): Map<number, Uint8Array> {
  const count = view.getUint32(OFFSET_SECTION_COUNT, true)
  const tableEnd = HEADER_OCTETS + count * SECTION_ENTRY_OCTETS
  if (count > SECTIONS_MAX || tableEnd > bytes.length) throw damaged(`it claims ${count} sections`)
  const sections = new Map<number, Uint8Array>()
  let free = tableEnd
  for (let index = 0; index < count; index++) {
    const entry = HEADER_OCTETS + index * SECTION_ENTRY_OCTETS
    const id = view.getUint32(entry, true)
    const offset = view.getUint32(entry + 4, true)
    const length = view.getUint32(entry + 8, true)
    const fits = offset >= free && offset % SECTION_ALIGN === 0 && offset + length <= bytes.length
    if (!fits || sections.has(id)) throw damaged(`section ${id} is out of place`)
    sections.set(id, bytes.subarray(offset, offset + length))
    free = offset + length
  }
  return sections
}

function part(sections: ReadonlyMap<number, Uint8Array>, id: number): Uint8Array {
  const found = sections.get(id)
  if (found === undefined) throw damaged(`section "${SECTION_NAMES[id] ?? id}" is missing`)
  return found
}

function textOf(octets: Uint8Array): string {
  return Buffer.from(octets).toString('utf8')
}

function damaged(what: string): OperationalError {
  return new OperationalError(
    'ERR_IMAGE',
    `the compiled blocklist is damaged: ${what}; ${COMPILE_AGAIN}`,
  )
}
