/** From collected rules to one image, whatever the order in which the lists came. */

import { OperationalError } from '../../base/errors.ts'
import {
  CATEGORIES_MAX,
  SECTION_DICTIONARY,
  SECTION_DOOR,
  SECTION_FINGERS,
  SECTION_HEADS,
  SECTION_META,
  SECTION_MODEL,
  SECTION_OPENINGS,
  SECTION_PLAIN,
  SECTION_RECORD_STARTS,
  SECTION_RECORDS,
  SECTION_VALUES,
} from '../../trie/layout.ts'
import { formatMeta } from '../../trie/meta.ts'
import type { TrieList } from '../../trie/meta.ts'
import { assembleImage } from './assemble-image.ts'
import { encodeNames } from './encode-names.ts'
import { resolveRules } from './resolve-rules.ts'
import type { ListPlace, ResolvedNames } from './resolve-rules.ts'
import type { RuleCollector } from './rule-collector.ts'

/** What an image says about a list besides its counts. */
export type ListFacts = Pick<
  TrieList,
  'name' | 'category' | 'source' | 'sha256' | 'octets' | 'date' | 'licence' | 'attribution'
>

export interface BuiltImage {
  readonly image: SharedArrayBuffer
  /** Names stored in the image. */
  readonly names: number
  /** In the order of `facts`; the image has its own, canonical order. */
  readonly lists: readonly TrieList[]
}

/**
 * Builds the image of everything in `collector`, whose list `i` is described by `facts[i]`.
 *
 * @throws OperationalError ERR_LIST_TOO_LARGE when a limit of the format is passed.
 */
export function buildImage(collector: RuleCollector, facts: readonly ListFacts[]): BuiltImage {
  const order = facts
    .map((_, index) => index)
    .toSorted((a, b) => compareLists(facts[a]!, facts[b]!))
  const categories = [...new Set(order.map((index) => facts[index]!.category))]
  if (categories.length > CATEGORIES_MAX) {
    throw new OperationalError(
      'ERR_LIST_TOO_LARGE',
      `${categories.length} categories, and one image holds ${CATEGORIES_MAX}: ` +
        'give some lists the same category',
    )
  }
  const places = Array.from<ListPlace>({ length: facts.length })
  for (const [rank, index] of order.entries()) {
    places[index] = { rank, categoryBit: 1 << categories.indexOf(facts[index]!.category) }
  }
  const resolved = resolveRules(collector, places)
  const lists = facts.map((list, index) => ({
    ...list,
    ...collector.counts[index]!,
    kept: resolved.kept[places[index]!.rank]!,
    redundant: resolved.redundant[places[index]!.rank]!,
  }))
  const names = resolved.stored.length
  const meta = { names, categories, lists: order.map((index) => lists[index]!) }
  return { image: assemble(resolved, formatMeta(meta)), names, lists }
}

function assemble(resolved: ResolvedNames, meta: string): SharedArrayBuffer {
  const encoded = encodeNames(resolved)
  const values = Int32Array.from(
    resolved.values.flatMap(({ self, selfList, below, belowList, leaf }) => [
      self,
      selfList,
      below,
      belowList,
      leaf ? 1 : 0,
    ]),
  )
  return assembleImage([
    { id: SECTION_META, content: Buffer.from(meta) },
    { id: SECTION_VALUES, content: octetsOf(values) },
    { id: SECTION_OPENINGS, content: octetsOf(resolved.openings) },
    { id: SECTION_DICTIONARY, content: encoded.dictionary },
    { id: SECTION_MODEL, content: encoded.model },
    { id: SECTION_HEADS, content: octetsOf(encoded.heads) },
    { id: SECTION_FINGERS, content: encoded.fingers },
    { id: SECTION_RECORD_STARTS, content: octetsOf(encoded.recordStarts) },
    { id: SECTION_RECORDS, content: octetsOf(encoded.records) },
    { id: SECTION_PLAIN, content: encoded.plain },
    { id: SECTION_DOOR, content: octetsOf(encoded.door) },
  ])
}

function octetsOf(array: Int32Array | Uint32Array): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength)
}

/** Octet order, not that of a language: the same everywhere. */
function compareLists(a: ListFacts, b: ListFacts): number {
  return (
    Buffer.compare(Buffer.from(a.category), Buffer.from(b.category)) ||
    Buffer.compare(Buffer.from(a.name), Buffer.from(b.name)) ||
    Buffer.compare(Buffer.from(a.sha256), Buffer.from(b.sha256)) ||
    Buffer.compare(Buffer.from(a.source), Buffer.from(b.source))
  )
}
