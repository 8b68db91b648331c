/** `niveau3 lists rm`, `enable` and `disable`: which subscriptions the next build takes. */

import type { Command } from 'commander'
import { OperationalError } from '../../base/errors.ts'
import { ENABLE_LIST, REMOVE_LIST } from '../operations/subscription-changes.ts'
import { finish, printJson, type Cli } from './cli.ts'
import { perform } from './perform.ts'
import { addServerOptions, type ServerOptions } from './server-options.ts'

interface Options extends ServerOptions {
  readonly reason?: string
  readonly yes?: boolean
}

/** Adds `lists rm`. */
export function addListsRm(lists: Command, cli: Cli): void {
  const command = lists
    .command('rm')
    .description('end a subscription and remove what was fetched')
    .argument('<list>', 'its name')
    .option('--yes', 'do it without asking: scripts need this')
    .option('--reason <text>', 'why, for the audit log')
    .action((list: string, options: Options) => remove(list, options, cli))
  addServerOptions(command)
  finish(command, ['niveau3 lists rm hagezi-nsfw --yes --reason "replaced by oisd-nsfw"'])
}

/** Adds `lists enable` and `lists disable`. */
export function addListsEnable(lists: Command, cli: Cli): void {
  for (const [verb, enabled] of [
    ['enable', true],
    ['disable', false],
  ] as const) {
    const command = lists
      .command(verb)
      .description(enabled ? 'use a subscribed list again' : 'keep a list, but do not use it')
      .argument('<list>', 'its name')
      .option('--reason <text>', 'why, for the audit log')
      .action((list: string, options: Options) => setEnabled(list, enabled, options, cli))
    addServerOptions(command)
    finish(command, [`niveau3 lists ${verb} ut1-adult`])
  }
}

async function remove(list: string, options: Options, cli: Cli): Promise<void> {
  const { reason } = options
  if (!options.yes) {
    const advice = 'add --yes; "niveau3 lists disable" keeps it without using it'
    throw new OperationalError('ERR_USAGE', `removing a list weakens the filter: ${advice}`)
  }
  const { result } = await perform(REMOVE_LIST, { list, reason }, options, cli)
  if (options.json) printJson(cli.terminal, 'lists-rm', result)
  else cli.terminal.out(`${list} is gone; ${NEXT}\n`)
}

async function setEnabled(
  list: string,
  enabled: boolean,
  options: Options,
  cli: Cli,
): Promise<void> {
  const { reason } = options
  const { result } = await perform(ENABLE_LIST, { list, enabled, reason }, options, cli)
  if (options.json) printJson(cli.terminal, enabled ? 'lists-enable' : 'lists-disable', result)
  else cli.terminal.out(`${list} is ${enabled ? 'on' : 'off'}; ${NEXT}\n`)
}

const NEXT = 'the next update (niveau3 lists update) builds the image accordingly'
