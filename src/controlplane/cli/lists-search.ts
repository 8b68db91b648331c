/** `niveau3 lists search`: the stored names at and below a name, and the one that covers it. */

import { InvalidArgumentError, Option, type Command } from 'commander'
import { Matcher } from '../../trie/lookup.ts'
import { openTrie, type Trie } from '../../trie/open.ts'
import { storedNames, type StoredName } from '../../trie/stored-names.ts'
import { nameToText } from '../blocklist/name-text.ts'
import type { BlocklistFlag } from '../config/flags.ts'
import { loadConfig } from '../config/load.ts'
import { collectBlocklist, finish, printJson, type Cli } from './cli.ts'
import { compileShown, groupDigits, openImageFile } from './filter-image.ts'
import { requireName, suffixStart } from './names-and-types.ts'
import { table } from './terminal.ts'

/** Names that are printed when no `--limit` is given: a screenful of screens. */
const NAMES_DEFAULT = 1000

interface Options {
  readonly image?: string
  readonly blocklist?: readonly BlocklistFlag[]
  readonly config?: string
  readonly limit: number
  readonly json?: boolean
}

interface FoundName {
  readonly name: string
  /** The categories that block the name itself, and those that block the names below it. */
  readonly self: readonly string[]
  readonly below: readonly string[]
  readonly list: string | null
}

/** Adds the command. */
export function addListsSearch(lists: Command, cli: Cli): void {
  const command = lists
    .command('search')
    .description('print the stored names that are a name or lie below it')
    .argument('<suffix>', 'the name, such as example.com')
    .option('--image <file>', 'a compiled image instead of lists')
    .option(
      '--blocklist <category=file>',
      'a list in any format, instead of the configured ones, repeatable',
      collectBlocklist,
    )
    .option('-c, --config <file>', 'configuration file')
    .addOption(
      new Option('--limit <n>', 'print that many names at most')
        .default(NAMES_DEFAULT)
        .argParser(parseLimit),
    )
    .action((suffix: string, options: Options) => search(suffix, options, cli))
  finish(command, [
    'niveau3 lists search torproject.org',
    'niveau3 lists search com --image lists.n3 --limit 20',
    'niveau3 lists search nordvpn.com --blocklist vpn=ut1-vpn.txt.gz --json',
  ])
}

function parseLimit(text: string): number {
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text)
  throw new InvalidArgumentError('Write a whole number from 1 on.')
}

async function search(text: string, options: Options, cli: Cli): Promise<void> {
  const { terminal, environment } = cli
  const suffix = requireName(text)
  const { image, blocklist, config: configFile } = options
  const { control } = loadConfig({ configFile, flags: { image, blocklist }, environment })
  const trie =
    control.image === undefined
      ? openTrie((await compileShown(control, terminal)).image)
      : await openImageFile(control.image)
  const { found, count } = namesBelow(trie, suffix, options.limit)
  const coveredBy = coveringName(trie, suffix)
  if (options.json) {
    const asked = nameToText(suffix)
    printJson(terminal, 'lists-search', { suffix: asked, coveredBy, count, names: found })
    return
  }
  terminal.out(table(found.map(row)))
  const more = count > found.length ? `, ${groupDigits(found.length)} of them printed` : ''
  const cover =
    coveredBy === null ? '' : `; ${coveredBy} covers ${nameToText(suffix)} and all below`
  const names = count === 1 ? 'stored name' : 'stored names'
  terminal.err(`${groupDigits(count)} ${names}${more}${cover}\n`)
}

function row({ name, self, below, list }: FoundName): readonly string[] {
  return [name, ...columns(self, below), list ?? '-']
}

function columns(self: readonly string[], below: readonly string[]): readonly string[] {
  const same = self.join() === below.join()
  if (same) return [self.join(' ') || 'opened', 'and below']
  if (below.length === 0) return [self.join(' '), 'name only']
  return [`${self.join(' ') || 'opened'} | ${below.join(' ')}`, 'itself | below']
}

function namesBelow(trie: Trie, suffix: Uint8Array, limit: number) {
  const found: FoundName[] = []
  let count = 0
  for (const stored of storedNames(trie)) {
    if (suffixStart(stored.name, suffix) === -1) continue
    count += 1
    if (found.length < limit) found.push(describe(trie, stored))
  }
  return { found, count }
}

function describe(trie: Trie, stored: StoredName): FoundName {
  const list = stored.selfList === -1 ? stored.belowList : stored.selfList
  return {
    name: nameToText(stored.name),
    self: categoriesOf(trie, stored.self),
    below: categoriesOf(trie, stored.below),
    list: trie.lists[list]?.name ?? null,
  }
}

function categoriesOf(trie: Trie, bits: number): readonly string[] {
  return trie.categories.filter((_, bit) => (bits & (1 << bit)) !== 0)
}

/** The stored name above `suffix` that blocks it, which makes names below it redundant. */
function coveringName(trie: Trie, suffix: Uint8Array): string | null {
  const matcher = new Matcher(trie)
  if (matcher.find(suffix, 0) === 0 || matcher.ruleStart === 0) return null
  return nameToText(suffix.subarray(matcher.ruleStart))
}
