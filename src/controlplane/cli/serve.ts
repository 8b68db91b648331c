/** `niveau3 serve`: loads the configuration and hands it to the server. */

import type { Command } from 'commander'
import { loadConfig, type LoadedConfig } from '../config/load.ts'
import { collect, collectBlocklist, exampleText, type Cli } from './cli.ts'
import type { ConfigFlags } from '../config/flags.ts'

/**
 * Runs the server until it is told to stop.
 *
 * @param config what to serve.
 * @param reload reads the same file, environment and flags again; throws ConfigError.
 */
export type StartServer = (config: LoadedConfig, reload: () => LoadedConfig) => Promise<void>

interface Options extends ConfigFlags {
  readonly config?: string
}

export function addServe(program: Command, cli: Cli, startServer: StartServer): void {
  program
    .command('serve')
    .description('answer DNS queries over UDP and TCP until SIGTERM; SIGHUP reloads')
    .option('-c, --config <file>', 'configuration file')
    .option('--listen <addr:port>', 'address to answer on, repeatable', collect)
    .option('--upstream <url>', 'udp://ADDR[:53] or tcp://ADDR[:53], repeatable', collect)
    .option(
      '--blocklist <category=file>',
      'a list in any format, instead of the built-in ones, repeatable',
      collectBlocklist,
    )
    .option('--image <file>', 'a compiled image instead of lists')
    .option('--metrics <addr:port>', 'address of /metrics, /livez and /readyz, or "off"')
    .option('--workers <n>', 'worker threads')
    .option('--state-dir <dir>', 'folder for what outlives a restart')
    .option('--json', 'print one JSON object when it cannot start')
    .addHelpText(
      'after',
      exampleText([
        'niveau3 serve',
        'niveau3 serve --listen 10.0.0.53:53 --upstream 9.9.9.9 --upstream tcp://149.112.112.112',
        'niveau3 serve --blocklist adult=union.txt.gz --blocklist vpn=ut1-vpn.txt.gz',
        'niveau3 serve --config /etc/niveau3/niveau3.yaml --image lists.n3',
      ]),
    )
    .action(async ({ config: configFile, ...flags }: Options) => {
      const load = () => loadConfig({ configFile, flags, environment: cli.environment })
      await startServer(load(), load)
    })
}
