/** `niveau3 lists pin`: keep a generation for good, or a list at the version that is there. */

import type { Command } from 'commander'
import { GenerationStore } from '../generations/generation-store.ts'
import {
  loadSubscriptions,
  saveSubscriptions,
  withSubscription,
} from '../generations/subscriptions.ts'
import { finish, printJson, type Cli } from './cli.ts'
import {
  addStateOptions,
  changeState,
  loadState,
  wholeNumber,
  type StateOptions,
} from './lists-state.ts'

interface Options extends StateOptions {
  readonly off?: boolean
  readonly reason?: string
}

/** Adds the command. */
export function addListsPin(lists: Command, cli: Cli): void {
  const command = lists
    .command('pin')
    .description('keep a generation for good (a number), or a list at its version (a name)')
    .argument('<target>', 'number of a generation, or name of a list')
    .option('--off', 'no longer')
    .option('--reason <text>', 'why, for the audit log')
    .action((target: string, options: Options) => pin(target, options, cli))
  addStateOptions(command)
  finish(command, [
    'niveau3 lists pin 87',
    'niveau3 lists pin hagezi-nsfw',
    'niveau3 lists pin 87 --off',
  ])
}

async function pin(target: string, options: Options, cli: Cli): Promise<void> {
  const config = loadState(options, cli)
  const { stateDirectory } = config
  const isPinned = options.off !== true
  const facts = { target, pinned: isPinned, reason: options.reason }
  await changeState(config, 'lists-pin', facts, async () => {
    if (/^\d+$/.test(target)) {
      const number = wholeNumber(target, 'the generation')
      await new GenerationStore(stateDirectory).pin(number, isPinned)
      return
    }
    const subscriptions = (await loadSubscriptions(stateDirectory)) ?? []
    const changed = withSubscription(subscriptions, target, { pinned: isPinned })
    await saveSubscriptions(stateDirectory, changed)
  })
  if (options.json) {
    printJson(cli.terminal, 'lists-pin', { target, pinned: isPinned })
    return
  }
  cli.terminal.out(
    isPinned ? `${target} is pinned: it stays as it is\n` : `${target} is free again\n`,
  )
}
