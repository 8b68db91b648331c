/** `niveau3 config check`: every problem of a configuration at once, before it is used. */

import type { Command } from 'commander'
import { loadConfig } from '../config/load.ts'
import { ConfigError } from '../config/problems.ts'
import { finish, printJson, problemJson, type Cli } from './cli.ts'

interface Options {
  readonly json?: boolean
}

/** Adds the command. */
export function addConfigCheck(config: Command, cli: Cli): void {
  const command = config
    .command('check')
    .description('check a configuration without starting anything; every problem is told at once')
    .argument(
      '[file]',
      'the file, or "-" for standard input; default: the file that serve would read',
    )
    .action((file: string | undefined, options: Options) => check(file, options, cli))
  finish(command, [
    'niveau3 config check',
    'niveau3 config check /etc/niveau3/niveau3.yaml',
    'niveau3 config check --json - < niveau3.yaml',
  ])
}

function check(file: string | undefined, { json }: Options, cli: Cli): void {
  const { terminal, environment } = cli
  const source = file === '-' ? { name: '-', text: cli.readStdin() } : undefined
  const configFile = source ? undefined : file
  try {
    const loaded = loadConfig({ source, configFile, environment })
    const result = { file: loaded.file ?? null, valid: true, problems: [] }
    if (json) printJson(terminal, 'config-check', result)
    else if (loaded.file === undefined) terminal.out('no configuration file: the defaults hold\n')
    else terminal.out(`${loaded.file}: ${terminal.paint('green', 'valid')}\n`)
  } catch (error) {
    if (!json || !(error instanceof ConfigError)) throw error
    const problems = error.problems.map(problemJson)
    printJson(terminal, 'config-check', {
      file: file ?? error.file ?? null,
      valid: false,
      problems,
    })
    cli.endWith(error.exitCode)
  }
}
