/** `niveau3 lists test FILE`: what a list would do here, before anybody subscribes to it. */

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Command } from 'commander'
import { EXIT } from '../../base/errors.ts'
import { openTrie } from '../../trie/open.ts'
import { compareImages } from '../blocklist/safety/compare-images.ts'
import { loadPopularNames } from '../blocklist/safety/control-names.ts'
import { compileInThread } from '../compiler/compile-thread.ts'
import { checkList } from '../generations/check-list.ts'
import { fetchCandidate } from '../generations/fetch-candidate.ts'
import { GenerationStore } from '../generations/generation-store.ts'
import { ListVersions } from '../generations/list-versions.ts'
import { newSubscription } from '../generations/subscriptions.ts'
import { finish, printJson, type Cli } from './cli.ts'
import { groupDigits, openImageFile } from './filter-image.ts'
import { addStateOptions, loadState, type StateOptions } from './lists-state.ts'
import { printable } from './terminal.ts'

interface Options extends StateOptions {
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
  addStateOptions(command)
  finish(command, ['niveau3 lists test ./house.txt', 'niveau3 lists test ./vpn.txt --category vpn'])
}

async function test(list: string, options: Options, cli: Cli): Promise<void> {
  const { control, stateDirectory } = loadState(options, cli)
  const url = /^[a-z][a-z0-9+.-]*:/i.test(list) ? list : pathToFileURL(resolve(list)).href
  const { category, format } = options
  const subscription = newSubscription({ name: 'tested', category, url, format: format ?? 'auto' })
  const folder = await mkdtemp(join(tmpdir(), 'niveau3-lists-test-'))
  try {
    const versions = new ListVersions(folder, 'tested')
    const surroundings = { updates: control.updates, environment: cli.environment }
    const candidate = await fetchCandidate(subscription, versions, undefined, surroundings)
    const { essentialFiles, safety } = control
    const checked = await checkList(subscription, candidate?.file ?? '', versions, undefined, {
      compile: (sources, onProgress) => compileInThread(sources, { essentialFiles, onProgress }),
      safety,
      popular: await loadPopularNames(),
      onProgress: () => undefined,
    })
    const current = await new GenerationStore(stateDirectory).current()
    const after = openTrie(checked.image)
    const fresh =
      current === undefined
        ? checked.names
        : (await compareImages(await openImageFile(current.imageFile), after)).added.names
    const { faults, names, report } = checked
    if (faults.length > 0) cli.endWith(EXIT.refused)
    if (options.json) {
      printJson(cli.terminal, 'lists-test', { list: url, names, newNames: fresh, faults, report })
      return
    }
    const notRules = Object.values(report.notRules).reduce((sum, count) => sum + count, 0)
    cli.terminal.out(
      `${groupDigits(names)} names (${report.format}), ${groupDigits(fresh)} of them new here, ` +
        `${groupDigits(notRules)} not rules, ${groupDigits(report.refusedCount)} refused, ` +
        `${groupDigits(report.exemptedCount)} exempted\n`,
    )
    for (const { gate, why } of faults) cli.terminal.out(`REFUSED: ${printable(why)} (${gate})\n`)
    if (faults.length === 0) cli.terminal.out('it would be taken\n')
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
