/** `niveau3 lists inspect`: what an image holds, after all of it was checked. */

import type { Command } from 'commander'
import type { Trie } from '../../trie/open.ts'
import { storedNames } from '../../trie/stored-names.ts'
import { finish, printJson, type Cli } from './cli.ts'
import { groupDigits, openImageFile } from './filter-image.ts'
import { printable, table } from './terminal.ts'

/** Adds the command. */
export function addListsInspect(lists: Command, cli: Cli): void {
  const command = lists
    .command('inspect')
    .description('check an image and print its statistics')
    .argument('<image>', 'an image that "lists compile" has made')
    .action(async (file: string, options: { readonly json?: boolean }) => {
      const trie = await openImageFile(file)
      if (options.json) printJson(cli.terminal, 'lists-inspect', { file, ...statistics(trie) })
      else cli.terminal.out(statisticsText(trie))
    })
  finish(command, [
    'niveau3 lists inspect lists.n3',
    'niveau3 lists inspect lists.n3 --json | jq .categories',
  ])
}

/** Stored names of each category and of each number of labels. */
function countNames(trie: Trie): { byCategory: number[]; byLabels: number[] } {
  const byCategory = trie.categories.map(() => 0)
  const byLabels: number[] = []
  for (const { name, self, below } of storedNames(trie)) {
    const bits = self | below
    for (const bit of byCategory.keys()) {
      if ((bits & (1 << bit)) !== 0) byCategory[bit]! += 1
    }
    const labels = labelsOf(name)
    byLabels[labels] = (byLabels[labels] ?? 0) + 1
  }
  return { byCategory, byLabels: Array.from(byLabels, (count) => count ?? 0) }
}

function labelsOf(name: Uint8Array): number {
  let labels = 0
  for (let at = 0; name[at]! !== 0; at += name[at]! + 1) labels += 1
  return labels
}

function statistics(trie: Trie) {
  const { byCategory, byLabels } = countNames(trie)
  const { digest, names, octets, sections, lists } = trie
  return {
    digest,
    names,
    octets,
    octetsPerName: perName(octets, names),
    sections: sections.map((section) => ({
      name: section.name,
      octets: section.octets,
      octetsPerName: perName(section.octets, names),
    })),
    categories: trie.categories.map((name, bit) => ({ name, names: byCategory[bit] ?? 0 })),
    labels: byLabels.flatMap((count, labels) => (count > 0 ? [{ labels, names: count }] : [])),
    lists,
  }
}

function perName(octets: number, names: number): number {
  return names === 0 ? 0 : Number((octets / names).toFixed(3))
}

function share(name: string, count: number): readonly string[] {
  return [name, groupDigits(count)]
}

function statisticsText(trie: Trie): string {
  const { names, octets, sections, categories, labels, lists, digest } = statistics(trie)
  const size = (name: string, count: number) => [
    name,
    groupDigits(count),
    perName(count, names).toFixed(3),
  ]
  return [
    `digest ${digest}\n\n`,
    table([
      ['SECTION', 'OCTETS', 'A NAME'],
      ...sections.map((section) => size(section.name, section.octets)),
      size('image', octets),
    ]),
    `\n`,
    table([
      ['CATEGORY', 'NAMES'],
      ...categories.map((category) => share(category.name, category.names)),
      share('all', names),
    ]),
    `\n`,
    table([
      ['LABELS', 'NAMES'],
      ...labels.map((depth) => share(String(depth.labels), depth.names)),
    ]),
    `\n`,
    table([
      ['LIST', 'CATEGORY', 'RULES', 'EXCEPTIONS', 'KEPT', 'REDUNDANT', 'LICENCE', 'SOURCE'],
      ...lists.map((list) => [
        list.name,
        list.category,
        ...[list.rules, list.exceptions, list.kept, list.redundant].map(groupDigits),
        printable(list.licence) || '-',
        printable(list.source),
      ]),
    ]),
  ].join('')
}
