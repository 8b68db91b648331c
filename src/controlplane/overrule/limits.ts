/**
 * Keeps the entries of a box within what can be read again: so many in force, so many gone ones.
 * What is written is what a server starts from, so there is never more of it than that.
 */

import { ENTRIES_MAX, GONE_MAX, type Entry } from './entry.ts'

/** Tells whether an entry is in force now. */
type IsOpen = (entry: Entry) => boolean

/** Forgets the oldest of those that are not in force, where there are too many. */
export function dropOldestGone(entries: Map<string, Entry>, isOpen: IsOpen): void {
  if (entries.size <= GONE_MAX) return
  const others = [...entries.values()].filter((entry) => !isOpen(entry))
  const excess = Math.max(others.length - GONE_MAX, entries.size - ENTRIES_MAX - GONE_MAX)
  if (excess <= 0) return
  const oldest = others.toSorted((a, b) => a.versionMs - b.versionMs)
  for (const { id } of oldest.slice(0, excess)) entries.delete(id)
}

/**
 * Returns what of another box's news fits: all that closes or changes what is known here, then the
 * newest of the rest. A gone entry that is not known here is left out where it would push out
 * another: the next box would bring that one back, and so on for ever.
 */
export function fitting(
  news: readonly Entry[],
  known: ReadonlyMap<string, Entry>,
  isOpen: IsOpen,
): readonly Entry[] {
  let open = 0
  for (const entry of known.values()) if (isOpen(entry)) open++
  let gone = known.size - open
  const taken: Entry[] = []
  const opening: Entry[] = []
  const unknown: Entry[] = []
  for (const entry of news) {
    const before = known.get(entry.id)
    const wasOpen = before !== undefined && isOpen(before)
    if (isOpen(entry) && !wasOpen) opening.push(entry)
    else if (before === undefined) unknown.push(entry)
    else {
      taken.push(entry)
      if (wasOpen && !isOpen(entry)) {
        open--
        gone++
      }
    }
  }
  taken.push(...newest(opening).slice(0, Math.max(0, ENTRIES_MAX - open)))
  taken.push(...newest(unknown).slice(0, Math.max(0, GONE_MAX - gone)))
  return taken
}

function newest(entries: readonly Entry[]): readonly Entry[] {
  return entries.toSorted((a, b) => b.versionMs - a.versionMs)
}
