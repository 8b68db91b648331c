/** `niveau3 pause` and `niveau3 resume`: blocks that are not made for a while. */

import type { Command } from 'commander'
import { parseDuration } from '../overrule/duration.ts'
import { finish, printJson, type Cli } from './cli.ts'
import { atDesk, tellChange } from './overrule-desk.ts'
import { addServerOptions, type ServerOptions } from './server-options.ts'

interface PauseOptions extends ServerOptions {
  readonly category?: string
  readonly site?: string
  readonly reason: string
}

interface ResumeOptions extends ServerOptions {
  readonly category?: string
  readonly site?: string
  readonly reason?: string
}

/** Adds `pause`. */
export function addPause(program: Command, cli: Cli): void {
  const command = program
    .command('pause')
    .description('let blocked names pass for a while; it ends by itself, to the second')
    .argument('<span>', 'how long: 90s, 10m, 2h; overrule.pauseSecondsMax at most')
    .option('--category <category>', 'this category only; default: all blocks')
    .option('--site <site>', 'at this site only; "default" is those who are in none')
    .requiredOption('--reason <text>', 'why: it stands in the audit log')
    .action((span: string, options: PauseOptions) => pause(span, options, cli))
  addServerOptions(command)
  finish(command, [
    'niveau3 pause 10m --reason "is it the filter?"',
    'niveau3 pause 1h --category vpn --site lyon --reason "remote hearing"',
  ])
}

/** Adds `resume`. */
export function addResume(program: Command, cli: Cli): void {
  const command = program
    .command('resume')
    .description('end pauses before their time')
    .option('--category <category>', 'that of this category only')
    .option('--site <site>', 'that of this site only')
    .option('--reason <text>', 'why, for the audit log')
    .action((options: ResumeOptions) => resume(options, cli))
  addServerOptions(command)
  finish(command, ['niveau3 resume', 'niveau3 resume --category vpn'])
}

async function pause(span: string, options: PauseOptions, cli: Cli): Promise<void> {
  const { category = null, site = null, reason } = options
  const request = { seconds: parseDuration(span), category, site, reason }
  const change = await atDesk(options, cli, (desk) => desk.pause(request))
  if (options.json) {
    printJson(cli.terminal, 'pause', change)
    return
  }
  tellChange(change, cli.terminal)
  cli.terminal.out('special names such as .onion stay blocked\nundo: niveau3 resume\n')
}

async function resume(options: ResumeOptions, cli: Cli): Promise<void> {
  const { category, json, reason, site } = options
  const change = await atDesk(options, cli, (desk) => desk.resume({ category, site, reason }))
  if (json) {
    printJson(cli.terminal, 'resume', change)
    return
  }
  tellChange(change, cli.terminal)
  cli.terminal.out('blocks are made again\n')
}
