/** `niveau3 lists diff A B`: what one generation blocks and another does not. */

import type { Command } from 'commander'
import type { Difference, ImageComparison } from '../blocklist/safety/compare-images.ts'
import { COMPARE_GENERATIONS } from '../operations/compare-generations.ts'
import { finish, printJson, type Cli } from './cli.ts'
import { groupDigits } from './filter-image.ts'
import { perform } from './perform.ts'
import { addServerOptions, type ServerOptions } from './server-options.ts'
import { wholeNumber } from './whole-number.ts'

interface Options extends ServerOptions {
  readonly sample: string
}

/** Adds the command. */
export function addListsDiff(lists: Command, cli: Cli): void {
  const command = lists
    .command('diff')
    .description('show what changed between two generations: names added, removed, moved')
    .argument('[before]', 'number of the older generation; the one before the other when left out')
    .argument('[after]', 'number of the newer one; the one in force when left out')
    .option('--sample <n>', 'names shown of each kind', '10')
    .action((before: string | undefined, after: string | undefined, options: Options) =>
      diff(before, after, options, cli),
    )
  addServerOptions(command)
  finish(command, ['niveau3 lists diff', 'niveau3 lists diff 87 88 --sample 1000 --json'])
}

async function diff(
  beforeText: string | undefined,
  afterText: string | undefined,
  options: Options,
  cli: Cli,
): Promise<void> {
  const wanted = {
    before: beforeText === undefined ? undefined : wholeNumber(beforeText, 'the generation'),
    after: afterText === undefined ? undefined : wholeNumber(afterText, 'the generation'),
    samplesMax: wholeNumber(options.sample, '--sample'),
  }
  const { result } = await perform(COMPARE_GENERATIONS, wanted, options, cli)
  if (options.json) printJson(cli.terminal, 'lists-diff', result)
  else cli.terminal.out(diffText(result.before, result.after, result))
}

function diffText(older: number, newer: number, comparison: ImageComparison): string {
  const { added, moved, newNames, oldNames, removed } = comparison
  const head =
    `generation ${older} -> ${newer}: ${groupDigits(oldNames)} -> ${groupDigits(newNames)} names, ` +
    `+${groupDigits(added.names)} -${groupDigits(removed.names)} moved ${groupDigits(moved.names)}\n`
  return head + kindText('+', added) + kindText('-', removed) + kindText('~', moved)
}

function kindText(sign: string, { byCategory, names, samples }: Difference): string {
  if (names === 0) return ''
  const categories = Object.entries(byCategory)
    .map(([category, count]) => `${category} ${groupDigits(count)}`)
    .join(', ')
  const more =
    names > samples.length ? `${sign} and ${groupDigits(names - samples.length)} more\n` : ''
  return `${sign} ${categories}\n${samples.map((name) => `${sign} ${name}\n`).join('')}${more}`
}
