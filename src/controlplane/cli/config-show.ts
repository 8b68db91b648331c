/** `niveau3 config show`: the configuration in force, and where each value came from. */

import { Option, type Command } from 'commander'
import { loadConfig } from '../config/load.ts'
import { shownKeys, shownYaml } from '../config/show.ts'
import { finish, printJson, type Cli } from './cli.ts'

interface Options {
  readonly config?: string
  readonly defaults?: boolean
  readonly changed?: boolean
  readonly origin?: boolean
  readonly json?: boolean
}

/** Adds the command. */
export function addConfigShow(config: Command, cli: Cli): void {
  const command = config
    .command('show')
    .description('print the configuration in force: flags over environment over file over defaults')
    .option('-c, --config <file>', 'configuration file')
    .addOption(
      new Option('--defaults', 'print the defaults, whatever is configured').conflicts('changed'),
    )
    .option('--changed', 'print only what differs from its default')
    .option('--origin', 'tell where each value came from: file and line, variable, or default')
    .action((options: Options) => show(options, cli))
  finish(command, [
    'niveau3 config show --changed --origin',
    'niveau3 config show --defaults > niveau3.yaml',
    'NIVEAU3_WORKERS=2 niveau3 config show --json',
  ])
}

function show(options: Options, { terminal, environment }: Cli): void {
  const loaded = options.defaults
    ? loadConfig({ source: { name: 'defaults', text: '' }, environment: {} })
    : loadConfig({ configFile: options.config, environment })
  const keys = shownKeys(loaded).filter((key) => !options.changed || key.isChanged)
  if (!options.json) {
    terminal.out(shownYaml(keys, options.origin ?? false))
    return
  }
  printJson(terminal, 'config-show', {
    file: options.defaults ? null : (loaded.file ?? null),
    keys: keys.map(({ path, value, origin, isChanged }) => ({
      key: path.join('.'),
      value: value ?? null,
      origin,
      changed: isChanged,
    })),
  })
}
