/** `niveau3 lists compile`: text lists to one image, with an account of every line. */

import { resolve } from 'node:path'
import type { Command } from 'commander'
import { OperationalError } from '../../base/errors.ts'
import { openTrie, type Trie } from '../../trie/open.ts'
import type { ListReport } from '../blocklist/list-source.ts'
import type { CompiledLists } from '../compiler/compile.ts'
import { requireWritable, writeImage } from '../compiler/image-file.ts'
import type { BlocklistFlag } from '../config/flags.ts'
import { loadConfig } from '../config/load.ts'
import { collectBlocklist, finish, printJson, type Cli } from './cli.ts'
import { compileShown, groupDigits } from './filter-image.ts'
import { printable, table, type Terminal } from './terminal.ts'

interface Options {
  readonly out: string
  readonly blocklist?: readonly BlocklistFlag[]
  readonly config?: string
  readonly json?: boolean
}

interface Compiled {
  readonly file: string
  readonly trie: Trie
  readonly compiled: CompiledLists<ListReport>
  readonly seconds: number
}

/** Adds the command. */
export function addListsCompile(lists: Command, cli: Cli): void {
  const command = lists
    .command('compile')
    .description('compile text lists into one image for serve --image')
    .requiredOption('-o, --out <file>', 'the image to write; replaced whole or not at all')
    .option(
      '--blocklist <category=file>',
      'a list in any format, instead of the configured ones, repeatable',
      collectBlocklist,
    )
    .option('-c, --config <file>', 'configuration file')
    .action((options: Options) => compileLists(options, cli))
  finish(command, [
    'niveau3 lists compile --out lists.n3',
    'niveau3 lists compile --out lists.n3 --blocklist adult=union.txt.gz --blocklist vpn=vpn.txt',
    'niveau3 lists compile --out lists.n3 --json | jq .lists',
  ])
}

async function compileLists(options: Options, { terminal, environment }: Cli): Promise<void> {
  const { blocklist, config: configFile } = options
  const { control } = loadConfig({ configFile, flags: { blocklist }, environment })
  if (control.image !== undefined) {
    const message = `the configuration names the image ${control.image} and no lists to compile`
    throw new OperationalError('ERR_NO_LIST', `${message}; give --blocklist CATEGORY=FILE`)
  }
  const file = resolve(options.out)
  await requireWritable(file)
  const startMs = performance.now()
  const compiled = await compileShown(control, terminal)
  const trie = openTrie(compiled.image)
  if (trie.names === 0) {
    const message = 'the lists hold no name that can be blocked; nothing was written'
    throw new OperationalError('ERR_NO_LIST', message)
  }
  await writeImage(file, compiled.image)
  const result = { file, trie, compiled, seconds: (performance.now() - startMs) / 1000 }
  if (options.json) printResult(result, terminal)
  else terminal.out(resultText(result))
}

function printResult({ file, trie, compiled, seconds }: Compiled, terminal: Terminal): void {
  printJson(terminal, 'lists-compile', {
    file,
    digest: trie.digest,
    names: trie.names,
    octets: trie.octets,
    seconds: Number(seconds.toFixed(3)),
    lists: compiled.lists.map((list, index) => Object.assign({}, compiled.reports[index], list)),
  })
}

function resultText({ file, trie, compiled, seconds }: Compiled): string {
  const rows = compiled.lists.map((list, index) => {
    const report = compiled.reports[index]!
    const notRules = Object.values(report.notRules).reduce((sum, count) => sum + count, 0)
    const counts = [
      list.rules,
      list.exceptions,
      list.kept,
      list.redundant,
      list.duplicates,
      notRules,
      report.refusedCount,
      report.exemptedCount,
    ]
    return [list.name, list.category, report.format, ...counts.map(groupDigits)]
  })
  const perName = (trie.octets / trie.names).toFixed(2)
  const octets = `${groupDigits(trie.octets)} octets, ${perName} a name`
  return [
    table([HEADINGS, ...rows]),
    ...compiled.reports.map(reportText),
    `${file}: ${groupDigits(trie.names)} names, ${octets}, in ${seconds.toFixed(1)} s\n`,
    `digest ${trie.digest}\n`,
  ].join('')
}

const HEADINGS = [
  'LIST',
  'CATEGORY',
  'FORMAT',
  'RULES',
  'EXCEPTIONS',
  'KEPT',
  'REDUNDANT',
  'DUPLICATES',
  'NOT RULES',
  'REFUSED',
  'EXEMPTED',
]

/** Lines that gave no rule, by reason; every refused rule and every essential name that was hit. */
function reportText(report: ListReport): string {
  const { name } = report
  const notRules = Object.entries(report.notRules).filter(([, count]) => count > 0)
  const reasons = notRules.map(([reason, count]) => `${reason} ${groupDigits(count)}`).join(', ')
  const refused = report.refused.map(({ rule, line, reason }) => [
    `${name}:${line}`,
    printable(rule),
    `refused: ${reason}`,
  ])
  const above = report.essentialHits.filter(({ kind }) => kind === 'above')
  const hits = report.essentialHits.map(({ rule, line, essential, kind }) => [
    `${name}:${line}`,
    printable(rule),
    kind === 'exempted' ? `exempted: ${essential} is essential` : `obeyed around ${essential}`,
  ])
  const aboveRules = new Set(above.map(({ line, rule }) => `${line} ${rule}`)).size
  const more = [
    moreText(name, 'refused', report.refusedCount - report.refused.length),
    moreText(name, 'exempted', report.exemptedCount - (report.essentialHits.length - above.length)),
    moreText(name, 'obeyed around essential names', report.aboveCount - aboveRules),
  ]
  const summary = reasons === '' ? '' : `${name}: not rules: ${reasons}\n`
  return summary + table([...refused, ...hits]) + more.join('')
}

/** Says how many rules the report of a list counts beyond those that it holds. */
function moreText(name: string, fate: string, count: number): string {
  return count > 0 ? `${name}: and ${groupDigits(count)} more ${fate}\n` : ''
}
