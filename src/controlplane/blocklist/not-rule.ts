/**
 * Why an entry of a list is not a rule that DNS can enforce. Every entry is a rule or one of these.
 */

/** Each reason with what it means; the texts are what reports and documentation show. */
export const NOT_RULE_REASONS = {
  address:
    'an IP address, a network or a range, not a name; `addressFiles` of a category takes those',
  cosmetic: 'an adblock rule about what a page looks like',
  directive: 'a setting of the program that the list was written for',
  'empty-label': 'a name with two dots in a row or a dot at its start',
  encoding: 'a name that is neither ASCII nor UTF-8',
  'extra-word': 'a word behind the name of a line',
  idna: 'a name outside ASCII that UTS-46 refuses',
  include: 'a reference to another list file, which is not followed',
  keyword: 'a part of a name that would match anywhere',
  'label-too-long': 'a label of more than 63 octets',
  'line-too-long': 'a line longer than any list needs',
  'local-name': 'a name of the machine itself, such as localhost',
  malformed: 'neither a name nor anything else that is known',
  modifier: 'an adblock rule that holds only for some clients, types or pages',
  'name-too-long': 'a name of more than 255 octets on the wire',
  'not-blocking': 'an entry that does not block, such as a transparent zone or a forwarder',
  path: 'a URL with a path or a query, which DNS does not see',
  pattern: 'a wildcard inside a name',
  prose: 'words where a name should stand',
  regex: 'a regular expression',
  rewrite: 'an entry that answers with another address or name (safe search, walled garden)',
  'rpz-trigger': 'an RPZ trigger by address or name server',
  'single-label': 'a name of one label that is no known top-level domain',
  'zone-record': 'a record that holds a zone together (SOA, NS) or carries other data',
} as const

export type NotRuleReason = keyof typeof NOT_RULE_REASONS

// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the keys of the constant above
const REASONS = Object.keys(NOT_RULE_REASONS) as readonly NotRuleReason[]

/** A counter for every reason, all at zero. */
export function countsOfNotRules(): Record<NotRuleReason, number> {
  const counts: Partial<Record<NotRuleReason, number>> = {}
  for (const reason of REASONS) counts[reason] = 0
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- every key was just set
  return counts as Record<NotRuleReason, number>
}

/** The counters in words, those at zero left out: `12 x a URL with a path ...`. */
export function describeNotRules(counts: Readonly<Record<NotRuleReason, number>>): string[] {
  return REASONS.filter((reason) => counts[reason] > 0).map(
    (reason) => `${counts[reason]} x ${NOT_RULE_REASONS[reason]}`,
  )
}
