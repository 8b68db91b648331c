/** `niveau3 lists rollback` and `resume`: an older generation at once, and updates again. */

import type { Command } from 'commander'
import { RESUME, ROLL_BACK } from '../operations/generation-changes.ts'
import { finish, printJson, type Cli } from './cli.ts'
import { groupDigits } from './filter-image.ts'
import { perform } from './perform.ts'
import { addServerOptions, type ServerOptions } from './server-options.ts'
import { wholeNumber } from './whole-number.ts'

interface Options extends ServerOptions {
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
  addServerOptions(command)
  finish(command, ['niveau3 lists rollback', 'niveau3 lists rollback 87 --reason "blocks a bank"'])
}

/** Adds `lists resume`. */
export function addListsResume(lists: Command, cli: Cli): void {
  const command = lists
    .command('resume')
    .description('let automatic updates go on after a rollback')
    .option('--reason <text>', 'why, for the audit log')
    .action((options: Options) => resume(options, cli))
  addServerOptions(command)
  finish(command, ['niveau3 lists resume'])
}

async function rollback(text: string | undefined, options: Options, cli: Cli): Promise<void> {
  const { reason } = options
  const generation = text === undefined ? undefined : wholeNumber(text, 'the generation')
  const { result, whoTakesIt } = await perform(ROLL_BACK, { generation, reason }, options, cli)
  const { names, ...facts } = result
  if (options.json) {
    printJson(cli.terminal, 'lists-rollback', facts)
    return
  }
  cli.terminal.out(
    `generation ${facts.from} -> ${facts.to} (${groupDigits(names)} names); automatic updates are ` +
      `held: niveau3 lists resume\n${whoTakesIt}\n`,
  )
}

async function resume(options: Options, cli: Cli): Promise<void> {
  const { reason } = options
  const { result } = await perform(RESUME, { reason }, options, cli)
  if (options.json) printJson(cli.terminal, 'lists-resume', result)
  else cli.terminal.out('automatic updates go on\n')
}
