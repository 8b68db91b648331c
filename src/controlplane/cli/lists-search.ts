/**
 * `niveau3 lists search`: the stored names at and below a name, the one that covers it, and which
 * of the subscribed lists have it.
 */

import { InvalidArgumentError, Option, type Command } from 'commander'
import { Matcher } from '../../trie/lookup.ts'
import { openTrie, type Trie } from '../../trie/open.ts'
import { storedNames, type StoredName } from '../../trie/stored-names.ts'
import { nameToText } from '../blocklist/name-text.ts'
import type { BlocklistFlag } from '../config/flags.ts'
import { loadConfig } from '../config/load.ts'
import { ListVersions } from '../generations/list-versions.ts'
import { loadSubscriptions } from '../generations/subscriptions.ts'
import { collectBlocklist, finish, printJson, type Cli } from './cli.ts'
import { explainedFilter } from './explained-filter.ts'
import { compileShown, groupDigits, openImageFile } from './filter-image.ts'
import { requireName, suffixStart } from './names-and-types.ts'
import { table } from './terminal.ts'

/** Names that are printed when no `--limit` is given: a screenful of screens. */
const NAMES_DEFAULT = 1000

interface Options {
  readonly image?: string
  readonly blocklist?: readonly BlocklistFlag[]
  readonly config?: string
  readonly stateDir?: string
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
    .description('print the stored names that are a name or lie below it, and the lists with it')
    .argument('<suffix>', 'the name, such as example.com')
    .option('--image <file>', 'a compiled image instead of lists')
    .option(
      '--blocklist <category=file>',
      'a list in any format, instead of the configured ones, repeatable',
      collectBlocklist,
    )
    .option('-c, --config <file>', 'configuration file')
    .option('--state-dir <dir>', 'the state directory, instead of the configured one')
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
  const { image, blocklist, config: configFile, stateDir } = options
  const config = loadConfig({ configFile, flags: { image, blocklist, stateDir }, environment })
  const { control } = config
  const filter = await explainedFilter(config)
  const trie = filter.image ?? openTrie((await compileShown(control, terminal)).image)
  const subscribed = filter.store === undefined ? undefined : control.stateDirectory
  const lists = subscribed === undefined ? [] : await listsWith(subscribed, suffix)
  const { found, count } = namesBelow(trie, suffix, options.limit)
  const coveredBy = coveringName(trie, suffix)
  if (options.json) {
    const asked = nameToText(suffix)
    const { generation = null } = filter
    const facts = { suffix: asked, generation, coveredBy, count, names: found, lists }
    printJson(terminal, 'lists-search', facts)
    return
  }
  terminal.out(table(found.map(row)))
  const more = count > found.length ? `, ${groupDigits(found.length)} of them printed` : ''
  const cover =
    coveredBy === null ? '' : `; ${coveredBy} covers ${nameToText(suffix)} and all below`
  const names = count === 1 ? 'stored name' : 'stored names'
  const where = filter.generation === undefined ? '' : ` in ${filter.label}`
  terminal.err(`${groupDigits(count)} ${names}${where}${more}${cover}\n`)
  terminal.out(lists.map(listText).join(''))
}

/** What one subscribed list, as it was fetched last, has at, above and below a name. */
interface ListWith {
  readonly list: string
  readonly category: string
  /** The name itself. */
  readonly holds: boolean
  /** The name above that covers it; null without one. */
  readonly coveredBy: string | null
  /** Names below it. */
  readonly below: number
}

/** The subscribed lists that speak of the name; those without a version are none of them. */
async function listsWith(stateDirectory: string, suffix: Uint8Array): Promise<readonly ListWith[]> {
  const found: ListWith[] = []
  for (const { category, name } of (await loadSubscriptions(stateDirectory)) ?? []) {
    const versions = new ListVersions(stateDirectory, name)
    const version = await versions.current()
    if (version === undefined) continue
    const trie = await openImageFile(versions.imageFile(version.sha256))
    const coveredBy = coveringName(trie, suffix)
    let below = 0
    let holds = false
    for (const stored of storedNames(trie)) {
      const start = suffixStart(stored.name, suffix)
      if (start === 0) holds = true
      else if (start > 0) below++
    }
    if (holds || below > 0 || coveredBy !== null) {
      found.push({ list: name, category, holds, coveredBy, below })
    }
  }
  return found
}

function listText({ below, category, coveredBy, holds, list }: ListWith): string {
  const facts = [
    ...(holds ? ['has the name'] : []),
    ...(coveredBy === null ? [] : [`has ${coveredBy} above it`]),
    ...(below > 0 ? [`has ${groupDigits(below)} below it`] : []),
  ]
  return `list ${list} (${category}) ${facts.join(', ')}\n`
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
