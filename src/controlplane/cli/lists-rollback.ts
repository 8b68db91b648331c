/** `niveau3 lists rollback` and `resume`: an older generation at once, and updates again. */

import type { Command } from 'commander'
import { OperationalError } from '../../base/errors.ts'
import { GenerationStore } from '../generations/generation-store.ts'
import { finish, printJson, type Cli } from './cli.ts'
import { groupDigits, openImageFile } from './filter-image.ts'
import {
  addStateOptions,
  changeState,
  loadState,
  wholeNumber,
  whoTakesIt,
  type StateOptions,
} from './lists-state.ts'

interface Options extends StateOptions {
  readonly reason?: string
}

/** Adds `lists rollback`. */
export function addListsRollback(lists: Command, cli: Cli): void {
  const command = lists
    .command('rollback')
    .description('put an older generation in force at once, and hold automatic updates')
    .argument('[generation]', 'its number; the one before the one in force when left out')
    .option('--reason <text>', 'why, for the audit log')
    .action((number: string | undefined, options: Options) => rollback(number, options, cli))
  addStateOptions(command)
  finish(command, ['niveau3 lists rollback', 'niveau3 lists rollback 87 --reason "blocks a bank"'])
}

/** Adds `lists resume`. */
export function addListsResume(lists: Command, cli: Cli): void {
  const command = lists
    .command('resume')
    .description('let automatic updates go on after a rollback')
    .option('--reason <text>', 'why, for the audit log')
    .action((options: Options) => resume(options, cli))
  addStateOptions(command)
  finish(command, ['niveau3 lists resume'])
}

async function rollback(text: string | undefined, options: Options, cli: Cli): Promise<void> {
  const config = loadState(options, cli)
  const store = new GenerationStore(config.stateDirectory)
  const state = await store.state()
  const target =
    text === undefined
      ? (await store.numbers()).find((number) => number < (state?.generation ?? 0))
      : wholeNumber(text, 'the generation')
  if (state === undefined || target === undefined) {
    throw new OperationalError('ERR_NO_STATE', 'there is no older generation to go back to')
  }
  const generation = await store.find(target)
  // A damaged image is found here, not by the server.
  const trie = await openImageFile(generation.imageFile)
  const why = options.reason ?? `rollback from generation ${state.generation}`
  const facts = { from: state.generation, to: target, digest: trie.digest, reason: why }
  await changeState(config, 'lists-rollback', facts, () =>
    store.rollBack(target, { since: new Date().toISOString(), why }),
  )
  if (options.json) {
    printJson(cli.terminal, 'lists-rollback', { ...facts, held: true })
    return
  }
  const names = groupDigits(trie.names)
  cli.terminal.out(
    `generation ${state.generation} -> ${target} (${names} names); automatic updates are held: ` +
      `niveau3 lists resume\n${whoTakesIt(config)}\n`,
  )
}

async function resume(options: Options, cli: Cli): Promise<void> {
  const config = loadState(options, cli)
  const store = new GenerationStore(config.stateDirectory)
  const facts = { reason: options.reason }
  await changeState(config, 'lists-resume', facts, () => store.release())
  if (options.json) printJson(cli.terminal, 'lists-resume', { held: false })
  else cli.terminal.out('automatic updates go on\n')
}
