/**
 * Plain lists: a name a line, as `x`, `*.x` or `.x`; also several names a line, parted by blanks,
 * commas or semicolons. All of them cover the name and what lies below it.
 */

import type { RuleIntake } from './intake.ts'
import { isRegexText, normalizeToken } from './normalize.ts'
import { ACTION_BLOCK, COVERS_SUBTREE } from './rule.ts'

/** A comment behind a name; `x.org/#!i=1` is none, its sign stands inside a word. */
const INLINE_COMMENT = /\s(?:#|;|\/\/).*$/
/** From this share on the words of a line are read as a list of names, each by itself. */
const NAMES_SHARE = 2 / 3

/** Words of a line that have the look of a name of two labels or more. */
const NAME_LIKE = /^(?:\*?\.)?[-\w\u0080-\u{10FFFF}]+(?:\.[-\w\u0080-\u{10FFFF}]+)+\.?(?::\d+)?$/u

/** Reads one line that is neither blank nor a comment. */
export function parsePlainLine(line: string, intake: RuleIntake): void {
  const text = line.replace(INLINE_COMMENT, '').trim()
  if (text === '') {
    intake.comment()
    return
  }
  // One word, the case of nearly every line.
  if (!/[\s,;]/.test(text)) {
    intake.token(text, COVERS_SUBTREE, ACTION_BLOCK)
    return
  }
  // Blanks and commas are part of these, not between them.
  if (isRegexText(text)) {
    intake.skip('regex', text)
    return
  }
  if (/^[^\s,;]*\//.test(text)) {
    intake.token(text.replaceAll(/[\s,;]/g, '_'), COVERS_SUBTREE, ACTION_BLOCK)
    return
  }
  parseWords(
    text.split(/[\s,;]+/).filter((word) => word !== ''),
    intake,
  )
}

/**
 * Several words: a list of names, or a name with words behind it (`ae.windscribe.com,United Arab
 * Emirates`), or prose. Only in the first case each word is read by itself: a name inside prose is
 * not what the line is about.
 */
function parseWords(words: readonly string[], intake: RuleIntake): void {
  const names = words.filter((word) => NAME_LIKE.test(word)).length
  if (names > words.length * NAMES_SHARE || names === words.length) {
    for (const word of words) intake.token(word, COVERS_SUBTREE, ACTION_BLOCK)
    return
  }
  const [first = '', ...others] = words
  const isName = NAME_LIKE.test(first)
  if (isName) intake.token(first, COVERS_SUBTREE, ACTION_BLOCK)
  else if (normalizeToken(first, intake) === 'address') intake.skip('address', first)
  else intake.skip('prose', words.join(' '))
  if (isName) for (const word of others) intake.skip('extra-word', word)
}
