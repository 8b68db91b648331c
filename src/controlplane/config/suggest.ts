/** "Did you mean": the known word nearest to a mistyped one. */

/** Words longer than this are not compared: no key or value that we know is near it. */
const WORD_CHARS_MAX = 80

/**
 * Returns the candidate nearest to `word`, or undefined when none is near enough.
 *
 * Near enough is one edit for each three characters, two at least: `upstream` finds `upstreams`,
 * `adutl` finds `adult`, `x` finds nothing. Letter case, `-` and `_` do not count as differences.
 */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
  const asked = bare(word)
  if (asked.length < 2 || asked.length > WORD_CHARS_MAX) return undefined
  let best: string | undefined
  let bestEdits = Math.max(2, Math.floor(asked.length / 3)) + 1
  for (const candidate of candidates) {
    const edits = editDistance(asked, bare(candidate))
    if (edits < bestEdits && edits < asked.length) {
      best = candidate
      bestEdits = edits
    }
  }
  return best
}

function bare(word: string): string {
  return word.toLowerCase().replaceAll(/[-_ ]/g, '')
}

/**
 * Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b` (optimal
 * string alignment): a swap is the commonest slip of the keyboard and counts as one edit.
 */
export function editDistance(a: string, b: string): number {
  let before: number[] = []
  let above = Array.from({ length: b.length + 1 }, (_, column) => column)
  for (let row = 1; row <= a.length; row += 1) {
    const current = [row]
    for (let column = 1; column <= b.length; column += 1) {
      const same = a[row - 1] === b[column - 1] ? 0 : 1
      let edits = Math.min(above[column]! + 1, current[column - 1]! + 1, above[column - 1]! + same)
      const swapped = a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1]
      if (row > 1 && column > 1 && swapped) edits = Math.min(edits, before[column - 2]! + 1)
      current.push(edits)
    }
    before = above
    above = current
  }
  return above[b.length]!
}
