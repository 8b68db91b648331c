/** `niveau3 lists test FILE`: what a list would do here, before anybody subscribes to it. */

import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Command } from 'commander'
import { EXIT } from '../../base/errors.ts'
import { TEST_LIST } from '../operations/test-list.ts'
import { finish, printJson, type Cli } from './cli.ts'
import { groupDigits } from './filter-image.ts'
import { ListBars } from './list-bars.ts'
import { perform } from './perform.ts'
import { printable } from './terminal.ts'
import { addServerOptions, type ServerOptions } from './server-options.ts'

interface Options extends ServerOptions {
  readonly category: string
  readonly format?: 'auto' | 'ut1'
}

/** Adds the command. */
export function addListsTest(lists: Command, cli: Cli): void {
  const command = lists
    .command('test')
    .description('hold a list to the safety contract, and show what it would add')
    .argument('<list>', 'a file, or an https or http URL')
    .option('--category <category>', 'what the list blocks', 'adult')
    .option('--format <format>', '"ut1" for a tar.gz in the layout of Toulouse, else "auto"')
    .action((list: string, options: Options) => test(list, options, cli))
  addServerOptions(command)
  finish(command, ['niveau3 lists test ./house.txt', 'niveau3 lists test ./vpn.txt --category vpn'])
}

async function test(list: string, options: Options, cli: Cli): Promise<void> {
  const isUrl = /^[a-z][a-z0-9+.-]*:/i.test(list)
  const url = isUrl ? list : pathToFileURL(resolve(list)).href
  const { category, format = 'auto' } = options
  const bars = new ListBars(cli.terminal)
  // A file is read with the rights of whoever names it, not with the server's.
  const given = { isHere: url.startsWith('file:'), onProgress: bars.update.bind(bars) }
  const { result } = await perform(
    TEST_LIST,
    { url, category, format },
    options,
    cli,
    given,
  ).finally(() => bars.clear())
  const { faults, names, newNames, report } = result
  if (faults.length > 0) cli.endWith(EXIT.refused)
  if (options.json) {
    printJson(cli.terminal, 'lists-test', result)
    return
  }
  const notRules = Object.values(report.notRules).reduce((sum, count) => sum + count, 0)
  cli.terminal.out(
    `${groupDigits(names)} names (${report.format}), ${groupDigits(newNames)} of them new here, ` +
      `${groupDigits(notRules)} not rules, ${groupDigits(report.refusedCount)} refused, ` +
      `${groupDigits(report.exemptedCount)} exempted\n`,
  )
  for (const { gate, why } of faults) cli.terminal.out(`REFUSED: ${printable(why)} (${gate})\n`)
  if (faults.length === 0) cli.terminal.out('it would be taken\n')
}
