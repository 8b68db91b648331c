/** `niveau3 fleet keygen FILE`: the key that a fleet's images are signed with. */

import { resolve } from 'node:path'
import type { Command } from 'commander'
import { makeFleetKey, publicHalfOf, readFleetKey } from '../fleet/fleet-key.ts'
import { finish, printJson, type Cli } from './cli.ts'

interface Options {
  readonly public?: boolean
  readonly json?: boolean
}

/** Adds the command. */
export function addFleetKeygen(fleet: Command, cli: Cli): void {
  const command = fleet
    .command('keygen')
    .description('make the key that images are signed with, and print the public half')
    .argument('<file>', 'where the private key is written, readable by this user only')
    .option('--public', 'print the public half of a key that is there')
    .action((file: string, options: Options) => keygen(file, options, cli))
  finish(command, ['niveau3 fleet keygen /etc/niveau3/fleet.key'])
}

async function keygen(file: string, options: Options, { terminal }: Cli): Promise<void> {
  const full = resolve(file)
  const publicKey = options.public
    ? publicHalfOf(await readFleetKey(full))
    : await makeFleetKey(full)
  if (options.json) {
    printJson(terminal, 'fleet-keygen', { file: full, publicKey })
    return
  }
  terminal.out(
    `private key  ${full} (keep a copy off line; whoever has it decides what is blocked)\n`,
  )
  terminal.out(`public key   ${publicKey}\n`)
  terminal.out(`every box    fleet: {publicKey: "${publicKey}", source: redis or https://...}\n`)
}
