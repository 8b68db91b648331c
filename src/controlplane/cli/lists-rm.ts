/** `niveau3 lists rm`, `enable` and `disable`: which subscriptions the next build takes. */

import type { Command } from 'commander'
import { OperationalError } from '../../base/errors.ts'
import { ListVersions } from '../generations/list-versions.ts'
import {
  loadSubscriptions,
  requireSubscription,
  saveSubscriptions,
  withSubscription,
} from '../generations/subscriptions.ts'
import { finish, printJson, type Cli } from './cli.ts'
import { addStateOptions, changeState, loadState, type StateOptions } from './lists-state.ts'

interface Options extends StateOptions {
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
  addStateOptions(command)
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
    addStateOptions(command)
    finish(command, [`niveau3 lists ${verb} ut1-adult`])
  }
}

async function remove(list: string, options: Options, cli: Cli): Promise<void> {
  const config = loadState(options, cli)
  const { stateDirectory } = config
  if (!options.yes) {
    const advice = 'add --yes; "niveau3 lists disable" keeps it without using it'
    throw new OperationalError('ERR_USAGE', `removing a list weakens the filter: ${advice}`)
  }
  await changeState(config, 'lists-rm', { list, reason: options.reason }, async () => {
    const subscriptions = (await loadSubscriptions(stateDirectory)) ?? []
    requireSubscription(subscriptions, list)
    const others = subscriptions.filter(({ name }) => name !== list)
    await saveSubscriptions(stateDirectory, others)
    await new ListVersions(stateDirectory, list).remove()
  })
  if (options.json) printJson(cli.terminal, 'lists-rm', { list })
  else cli.terminal.out(`${list} is gone; ${NEXT}\n`)
}

async function setEnabled(
  list: string,
  enabled: boolean,
  options: Options,
  cli: Cli,
): Promise<void> {
  const config = loadState(options, cli)
  const { stateDirectory } = config
  const what = enabled ? 'lists-enable' : 'lists-disable'
  await changeState(config, what, { list, reason: options.reason }, async () => {
    const subscriptions = (await loadSubscriptions(stateDirectory)) ?? []
    await saveSubscriptions(stateDirectory, withSubscription(subscriptions, list, { enabled }))
  })
  if (options.json) printJson(cli.terminal, what, { list, enabled })
  else cli.terminal.out(`${list} is ${enabled ? 'on' : 'off'}; ${NEXT}\n`)
}

const NEXT = 'the next update (niveau3 lists update) builds the image accordingly'
