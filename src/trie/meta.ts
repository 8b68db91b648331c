/** The texts of an image: its categories and lists, kept as JSON in canonical order. */

import { CATEGORIES_MAX, LISTS_MAX } from './layout.ts'

/** One list of an image. */
export interface TrieList {
  readonly name: string
  readonly category: string
  /** File or address that it came from. */
  readonly source: string
  /** SHA-256 of the source's octets, hexadecimal. */
  readonly sha256: string
  readonly octets: number
  /** As the catalogue or the operator gave them; empty when unknown. */
  readonly date: string
  readonly licence: string
  readonly attribution: string
  /** Blocking rules taken from the source, duplicates included. */
  readonly rules: number
  readonly exceptions: number
  /** Rules and exceptions that repeat an earlier line. */
  readonly duplicates: number
  /** Names of blocking rules that the image stores, and names that it need not store. */
  readonly kept: number
  readonly redundant: number
}

export interface TrieMeta {
  readonly names: number
  readonly categories: readonly string[]
  readonly lists: readonly TrieList[]
}

const LIST_TEXTS = [
  'name',
  'category',
  'source',
  'sha256',
  'date',
  'licence',
  'attribution',
] as const satisfies readonly (keyof TrieList)[]

const LIST_COUNTS = [
  'octets',
  'rules',
  'exceptions',
  'duplicates',
  'kept',
  'redundant',
] as const satisfies readonly (keyof TrieList)[]

/** Returns the one text that stands for `meta`. */
export function formatMeta(meta: TrieMeta): string {
  const lists = meta.lists.map((list) =>
    Object.fromEntries([...LIST_TEXTS, ...LIST_COUNTS].map((field) => [field, list[field]])),
  )
  return JSON.stringify({ names: meta.names, categories: meta.categories, lists })
}

/** Reads what `formatMeta` wrote; throws what `damaged` makes of the first thing that is wrong. */
export function parseMeta(text: string, damaged: (what: string) => Error): TrieMeta {
  let meta: unknown
  try {
    meta = JSON.parse(text)
  } catch {
    throw damaged('its list table is no JSON')
  }
  if (!isMeta(meta)) throw damaged('its list table lacks a field')
  if (meta.categories.length > CATEGORIES_MAX || meta.lists.length > LISTS_MAX) {
    throw damaged('it claims more categories or lists than the format allows')
  }
  return { names: meta.names, categories: meta.categories, lists: meta.lists }
}

function isMeta(value: unknown): value is TrieMeta {
  return (
    isRecord(value) &&
    isCount(value['names']) &&
    Array.isArray(value['categories']) &&
    value['categories'].every((category) => typeof category === 'string') &&
    Array.isArray(value['lists']) &&
    value['lists'].every(isList)
  )
}

function isList(value: unknown): value is TrieList {
  return (
    isRecord(value) &&
    LIST_TEXTS.every((field) => typeof value[field] === 'string') &&
    LIST_COUNTS.every((field) => isCount(value[field]))
  )
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}
