/** `niveau3 lists pin`: keep a generation for good, or a list at the version that is there. */

import type { Command } from 'commander'
import { PIN } from '../operations/generation-changes.ts'
import { finish, printJson, type Cli } from './cli.ts'
import { perform } from './perform.ts'
import { addServerOptions, type ServerOptions } from './server-options.ts'
import { wholeNumber } from './whole-number.ts'

interface Options extends ServerOptions {
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
  addServerOptions(command)
  finish(command, [
    'niveau3 lists pin 87',
    'niveau3 lists pin hagezi-nsfw',
    'niveau3 lists pin 87 --off',
  ])
}

async function pin(text: string, options: Options, cli: Cli): Promise<void> {
  const { reason } = options
  const pinned = options.off !== true
  const target = /^\d+$/.test(text) ? wholeNumber(text, 'the generation') : text
  const { result } = await perform(PIN, { target, pinned, reason }, options, cli)
  if (options.json) {
    printJson(cli.terminal, 'lists-pin', { ...result, target: text })
    return
  }
  cli.terminal.out(pinned ? `${text} is pinned: it stays as it is\n` : `${text} is free again\n`)
}
