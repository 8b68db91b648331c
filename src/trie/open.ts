/** Opens a compiled blocklist: checks all of it once, so that lookups need to check nothing. */

import { OperationalError } from '../base/errors.ts'
import { openBlocks } from './blocks.ts'
import type { Blocks } from './blocks.ts'
import { openModel } from './code-model.ts'
import type { CodeModel } from './code-model.ts'
import { openDictionary } from './dictionary.ts'
import type { Dictionary } from './dictionary.ts'
import { imageDigest } from './digest.ts'
import {
  DIGEST_OCTETS,
  FINGERS_OCTETS,
  FORMAT_VERSION,
  HEADER_OCTETS,
  MAGIC,
  OFFSET_DIGEST,
  OFFSET_OCTETS,
  OFFSET_SECTION_COUNT,
  OFFSET_VERSION,
  RECORD_HEAD_BITS,
  SECTION_ALIGN,
  SECTION_DICTIONARY,
  SECTION_DOOR,
  SECTION_ENTRY_OCTETS,
  SECTION_FINGERS,
  SECTION_HEADS,
  SECTION_META,
  SECTION_MODEL,
  SECTION_OPENINGS,
  SECTION_PLAIN,
  SECTION_RECORD_STARTS,
  SECTION_RECORDS,
  SECTION_VALUES,
  SECTIONS_MAX,
  START_MASK,
  VALUE_FIELDS,
} from './layout.ts'
import { parseMeta } from './meta.ts'
import type { TrieList } from './meta.ts'
import { openPlainNames } from './plain-names.ts'
import type { PlainNames } from './plain-names.ts'

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
  /** `VALUE_FIELDS` integers a value: what holds at a stored name and below it. */
  readonly values: Int32Array
  /** Sorted hashes of names with something less blocked below them. */
  readonly openings: Uint32Array
  readonly dictionary: Dictionary
  readonly model: CodeModel
  readonly blocks: Blocks
  /** Words of the filter in front of the blocks; never empty. */
  readonly door: Uint32Array
  readonly plain: PlainNames
}

const SECTION_NAMES: Readonly<Record<number, string>> = {
  [SECTION_META]: 'lists and categories',
  [SECTION_VALUES]: 'values',
  [SECTION_OPENINGS]: 'openings',
  [SECTION_DICTIONARY]: 'suffix dictionary',
  [SECTION_MODEL]: 'code model',
  [SECTION_HEADS]: 'block heads',
  [SECTION_FINGERS]: 'fingers',
  [SECTION_RECORD_STARTS]: 'record starts',
  [SECTION_RECORDS]: 'records',
  [SECTION_PLAIN]: 'plain names',
  [SECTION_DOOR]: 'door',
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
  const values = numbers(part(sections, SECTION_VALUES))
  const valueCount = Math.floor(values.length / VALUE_FIELDS)
  return {
    buffer,
    ...meta,
    digest: Buffer.from(bytes.slice(OFFSET_DIGEST, OFFSET_DIGEST + DIGEST_OCTETS)).toString('hex'),
    octets: bytes.length,
    sections: [...sections].map(([id, { length }]) => ({
      name: SECTION_NAMES[id] ?? `section ${id}`,
      octets: length,
    })),
    values: new Int32Array(buffer, values.byteOffset, values.length),
    openings: numbers(part(sections, SECTION_OPENINGS)),
    dictionary: openDictionary(part(sections, SECTION_DICTIONARY), valueCount, damaged),
    model: openModel(part(sections, SECTION_MODEL), damaged),
    blocks: readBlocks(sections, valueCount),
    door: openDoor(part(sections, SECTION_DOOR)),
    plain: openPlainNames(part(sections, SECTION_PLAIN), valueCount, damaged),
  }
}

/** The heads section starts with the number of blocks of the first level. */
function readBlocks(sections: ReadonlyMap<number, Uint8Array>, valueCount: number): Blocks {
  const section = part(sections, SECTION_HEADS)
  if (section.length < 4) throw damaged('its block heads lack their count')
  const [rootBlocks = 0] = numbers(section)
  const blocks = (section.length >>> 2) - 1
  const heads = new Int32Array(section.buffer, section.byteOffset + 4, blocks)
  const fingers = numbers(part(sections, SECTION_FINGERS))
  const recordStarts = numbers(part(sections, SECTION_RECORD_STARTS))
  const records = numbers(part(sections, SECTION_RECORDS))
  if (
    rootBlocks > blocks ||
    fingers.length * 4 !== blocks * FINGERS_OCTETS ||
    recordStarts.length !== blocks ||
    recordStarts.some((start) => (start & START_MASK) > records.length * 32 - RECORD_HEAD_BITS)
  ) {
    throw damaged('its blocks and their heads do not agree')
  }
  const valueBits = 32 - Math.clz32(Math.max(0, valueCount - 2))
  return openBlocks({
    heads,
    rootBlocks,
    fingers,
    recordStarts,
    records,
    valueBits,
    valueCount,
  })
}

function openDoor(section: Uint8Array): Uint32Array {
  const door = numbers(section)
  if (door.length === 0) throw damaged('its door has no word')
  return door
}

function numbers(section: Uint8Array): Uint32Array {
  return new Uint32Array(section.buffer, section.byteOffset, section.length >>> 2)
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
    `the compiled blocklist has format ${version}, this niveau3 reads ${FORMAT_VERSION}: ${advice}`,
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
