/** `niveau3 reload`: the running server takes its configuration and lists anew, all or nothing. */

import type { Command } from 'commander'
import * as z from 'zod'
import { finish, printJson, type Cli } from './cli.ts'
import { addServerOptions, findServer, type ServerOptions } from './server-options.ts'

const Reloaded = z.object({ generation: z.number(), needsRestart: z.array(z.string()) })

/** Adds the command. */
export function addReload(program: Command, cli: Cli): void {
  const command = program
    .command('reload')
    .description('let the running server take its configuration and lists anew, all or nothing')
    .action((options: ServerOptions) => reload(options, cli))
  addServerOptions(command)
  finish(command, ['niveau3 reload', 'niveau3 reload --socket /run/niveau3/admin.sock'])
}

async function reload(options: ServerOptions, cli: Cli): Promise<void> {
  const server = findServer(options, cli)
  const result = await server.ask('/v1/reload', Reloaded, { body: {}, isLong: true })
  if (options.json) {
    printJson(cli.terminal, 'reload', result)
    return
  }
  const { generation, needsRestart } = result
  const later =
    needsRestart.length === 0
      ? ''
      : `; these keys take effect at the next start: ${needsRestart.join(', ')}`
  cli.terminal.out(`reloaded: generation ${generation} is in force${later}\n`)
}
