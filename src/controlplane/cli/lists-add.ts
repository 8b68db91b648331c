/** `niveau3 lists add`: subscribe to a list of the catalogue, or to one of your own. */

import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Command } from 'commander'
import { ADD_LIST } from '../operations/subscription-changes.ts'
import { finish, printJson, type Cli } from './cli.ts'
import { perform } from './perform.ts'
import { addServerOptions, type ServerOptions } from './server-options.ts'
import { wholeNumber } from './whole-number.ts'

interface Options extends ServerOptions {
  readonly url?: string
  readonly category?: string
  readonly format?: 'auto' | 'ut1'
  readonly section?: string
  readonly every?: string
  readonly sha256?: string
  readonly key?: string
  readonly signature?: string
  readonly licence?: string
  readonly min?: string
  readonly allowPrivate?: boolean
  readonly only?: boolean
  readonly reason?: string
}

/** Adds the command. */
export function addListsAdd(lists: Command, cli: Cli): void {
  const command = lists
    .command('add')
    .description('subscribe to a list of the catalogue by its name, or to any list by its URL')
    .argument('<name>', 'name of the list')
    .option(
      '--url <url>',
      'https, http or file URL, or a path: a list that is not in the catalogue',
    )
    .option('--category <category>', 'what the list blocks')
    .option('--format <format>', '"ut1" for a tar.gz in the layout of Toulouse, else "auto"')
    .option('--section <names>', 'folders of a ut1 archive to take, parted by commas')
    .option('--every <hours>', 'interval of updates')
    .option('--min <names>', 'fewer names than this are refused')
    .option('--sha256 <hex>', 'what the file must be')
    .option('--key <base64>', 'minisign or Ed25519 public key that the list is signed with')
    .option('--signature <url>', 'where the signature is; URL.minisig when left out')
    .option('--licence <id>', 'licence of the list')
    .option('--allow-private', 'its server may have a private address')
    .option('--only', 'as the first subscription: without the default set')
    .option('--reason <text>', 'why, for the audit log')
    .action((name: string, options: Options) => add(name, options, cli))
  addServerOptions(command)
  finish(command, [
    'niveau3 lists add oisd-nsfw',
    'niveau3 lists add house --url https://lists.example/house.txt --category gambling',
    'niveau3 lists add mirror --url http://10.0.0.5/adult.tar.gz --format ut1 --category adult',
  ])
}

async function add(name: string, options: Options, cli: Cli): Promise<void> {
  const { allowPrivate, category, every, format, key, licence, min, only, reason } = options
  const { section, sha256, signature, url } = options
  const wanted = {
    name,
    ...(url !== undefined && { url: urlOf(url) }),
    ...(category !== undefined && { category }),
    ...(format !== undefined && { format }),
    ...(section !== undefined && { sections: section.split(',') }),
    ...(every !== undefined && { intervalHours: wholeNumber(every, '--every') }),
    ...(min !== undefined && { namesMin: wholeNumber(min, '--min') }),
    ...(sha256 !== undefined && { sha256: sha256.toLowerCase() }),
    ...(key !== undefined && { signingKey: key }),
    ...(signature !== undefined && { signatureUrl: urlOf(signature) }),
    ...(licence !== undefined && { licence }),
    ...(allowPrivate !== undefined && { allowPrivate }),
    ...(reason !== undefined && { reason }),
    only: only === true,
  }
  const { result } = await perform(ADD_LIST, wanted, options, cli)
  if (options.json) printJson(cli.terminal, 'lists-add', result)
  else cli.terminal.out(`${name} is subscribed to; "niveau3 lists update" fetches it\n`)
}

/** A path is what people have at hand; subscriptions hold URLs. */
function urlOf(text: string): string {
  return /^[a-z][a-z0-9+.-]*:/i.test(text) ? text : pathToFileURL(resolve(text)).href
}
