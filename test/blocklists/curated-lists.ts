import { readFileSync } from 'node:fs'

/** The files of `blocklists/` that hold names; the first three block, the last one opens. */
export const BLOCK_LISTS = ['darkweb', 'vpn', 'adult'] as const
export const ALL_LISTS = [...BLOCK_LISTS, 'essential'] as const

export type CuratedList = (typeof ALL_LISTS)[number]

/** One name of a curated list with the place where it stands. */
export interface CuratedEntry {
  readonly name: string
  readonly line: number
  readonly section: string
}

const NAME = /^(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z0-9-]{2,63}$/
const NAME_CHARACTERS_MAX = 253

/** The text of one curated list. */
export function curatedText(list: CuratedList): string {
  return readFileSync(new URL(`../../blocklists/${list}.txt`, import.meta.url), 'utf8')
}

/**
 * Reads one curated list: plain names, `#` comments, `## ` section titles. Deliberately apart from
 * the product's parsers, so that a mistake there cannot hide one here.
 *
 * @throws Error naming file and line for anything but a lower-case name or a comment.
 */
export function readCurated(list: CuratedList): CuratedEntry[] {
  const entries: CuratedEntry[] = []
  let section = ''
  for (const [index, text] of curatedText(list).split('\n').entries()) {
    if (text.startsWith('## ')) section = text.slice(3)
    const name = text.split('#', 1)[0]?.trimEnd() ?? ''
    if (name === '') continue
    if (!NAME.test(name) || name.length > NAME_CHARACTERS_MAX) {
      throw new Error(`${list}.txt:${index + 1}: "${name}" is not a lower-case name`)
    }
    entries.push({ name, line: index + 1, section })
  }
  return entries
}

/** The names of one curated list. */
export function curatedNames(list: CuratedList): Set<string> {
  return new Set(readCurated(list).map((entry) => entry.name))
}

/** The names above `name`, nearest first: `a.b.c` gives `b.c`, `c`. */
export function ancestors(name: string): string[] {
  const labels = name.split('.')
  return labels.slice(1).map((_, index) => labels.slice(index + 1).join('.'))
}

/** The name of `rules` that covers `name` (itself or the nearest above it). */
export function coveredBy(rules: ReadonlySet<string>, name: string): string | undefined {
  return [name, ...ancestors(name)].find((candidate) => rules.has(candidate))
}

/** The words of a text, for long lists of names in a test. */
export function words(text: string): string[] {
  return text.trim().split(/\s+/)
}
