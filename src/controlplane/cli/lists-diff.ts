/** `niveau3 lists diff A B`: what one generation blocks and another does not. */

import type { Command } from 'commander'
import { OperationalError } from '../../base/errors.ts'
import {
  compareImages,
  type Difference,
  type ImageComparison,
} from '../blocklist/safety/compare-images.ts'
import { GenerationStore } from '../generations/generation-store.ts'
import { finish, printJson, type Cli } from './cli.ts'
import { groupDigits, openImageFile } from './filter-image.ts'
import { addStateOptions, loadState, wholeNumber, type StateOptions } from './lists-state.ts'

interface Options extends StateOptions {
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
  addStateOptions(command)
  finish(command, ['niveau3 lists diff', 'niveau3 lists diff 87 88 --sample 1000 --json'])
}

async function diff(
  beforeText: string | undefined,
  afterText: string | undefined,
  options: Options,
  cli: Cli,
): Promise<void> {
  const { stateDirectory } = loadState(options, cli)
  const samplesMax = wholeNumber(options.sample, '--sample')
  const store = new GenerationStore(stateDirectory)
  const newer =
    afterText === undefined
      ? (await store.state())?.generation
      : wholeNumber(afterText, 'the generation')
  const older =
    beforeText === undefined
      ? (await store.numbers()).find((number) => newer !== undefined && number < newer)
      : wholeNumber(beforeText, 'the generation')
  if (newer === undefined || older === undefined) {
    throw new OperationalError('ERR_NO_STATE', 'there are no two generations to compare')
  }
  const before = await openImageFile((await store.find(older)).imageFile)
  const after = await openImageFile((await store.find(newer)).imageFile)
  const comparison = await compareImages(before, after, { samplesMax })
  if (options.json) {
    printJson(cli.terminal, 'lists-diff', { before: older, after: newer, ...comparison })
    return
  }
  cli.terminal.out(diffText(older, newer, comparison))
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
