/** `niveau3 serve`: loads the configuration, starts the server and lives with its signals. */

import type { Command } from 'commander'
import type { Logger } from 'pino'
import type { OperationalError } from '../../base/errors.ts'
import { environmentOf, type ConfigFlags } from '../config/flags.ts'
import { loadConfig, type LoadedConfig } from '../config/load.ts'
import { ServiceNotice, type NoticeEnvironment } from '../service-notice.ts'
import { collect, collectBlocklist, exampleText, type Cli } from './cli.ts'

/** A server that runs until it is stopped. */
interface RunningServer {
  /** Some worker answers. */
  readonly isAlive: () => boolean
  readonly reload: () => Promise<unknown>
  /** Answers what is in flight, then closes everything. */
  readonly stop: () => Promise<void>
}

interface ServeSurroundings {
  /** Reads the same file, environment and flags again; throws ConfigError. */
  readonly reloadConfig: () => LoadedConfig
  readonly log: Logger
  /** What the flags say, for the commands that the server runs. */
  readonly childEnvironment: Readonly<Record<string, string>>
  /** Clients are answered from now on. */
  readonly onAnswering: () => void
  /** The server cannot go on by itself. */
  readonly onFatal: (error: OperationalError) => void
}

/** Starts the server: `startServer` of serve.ts, or a test's. */
export type StartServer = (
  config: LoadedConfig,
  surroundings: ServeSurroundings,
) => Promise<RunningServer>

interface Options extends ConfigFlags {
  readonly config?: string
}

/** Adds the command. */
export function addServe(program: Command, cli: Cli, startServer: StartServer): void {
  program
    .command('serve')
    .description('answer DNS queries until SIGTERM; SIGHUP reloads')
    .option('-c, --config <file>', 'configuration file')
    .option(
      '--listen <addr:port>',
      'ADDR:PORT (UDP and TCP), tls://ADDR or https://ADDR, repeatable',
      collect,
    )
    .option(
      '--upstream <url>',
      'udp://ADDR, tcp://ADDR, tls://NAME@ADDR or https://NAME/dns-query#ADDR, repeatable',
      collect,
    )
    .option(
      '--blocklist <category=file>',
      'a list in any format, instead of the built-in ones, repeatable',
      collectBlocklist,
    )
    .option('--image <file>', 'a compiled image instead of lists')
    .option('--metrics <addr:port>', 'address of /metrics, /livez and /readyz, or "off"')
    .option('--redis <url>', 'shared cache: redis://HOST[:6379], rediss://…, redis+sentinel://…')
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
      await serve(load, startServer, cli.environment, environmentOf(flags))
    })
}

/** Resolves when a signal has stopped the server; rejects when it could not start or go on. */
async function serve(
  load: () => LoadedConfig,
  startServer: StartServer,
  environment: NoticeEnvironment,
  childEnvironment: Readonly<Record<string, string>>,
): Promise<void> {
  const config = load()
  const log = await createLog(config.control.logLevel)
  const notice = await ServiceNotice.open(environment, log)
  const ending = new Ending()
  let server: RunningServer | undefined
  let isReloadDue = false
  // From now on: without a listener SIGHUP would end a process that still reads its lists.
  const reload = (): void => {
    isReloadDue = server === undefined
    if (server !== undefined) void reloadAndTell(server, notice)
  }
  process.on('SIGHUP', reload)
  try {
    const running = await startServer(config, {
      reloadConfig: load,
      log,
      childEnvironment,
      onAnswering: () => ending.listen(),
      onFatal: (error) => ending.fail(error),
    })
    server = running
    notice.ready()
    notice.watch(environment, running.isAlive)
    if (isReloadDue) void reloadAndTell(server, notice)
    await ending.reached()
  } finally {
    ending.ignore()
    notice.stopping()
    await server?.stop()
    process.off('SIGHUP', reload)
    notice.close()
  }
}

async function reloadAndTell(server: RunningServer, notice: ServiceNotice): Promise<void> {
  notice.reloading()
  await server.reload()
  notice.ready()
}

/** One line of JSON for each event on standard error; no client address, no queried name. */
async function createLog(level: string): Promise<Logger> {
  const { default: pino } = await import('pino')
  const formatters = { level: (label: string) => ({ level: label }) }
  const options = { level, base: null, timestamp: pino.stdTimeFunctions.isoTime, formatters }
  return pino(options, pino.destination({ dest: 2, sync: true }))
}

const END_SIGNALS = ['SIGTERM', 'SIGINT'] as const

/** What ends a running server: SIGTERM, SIGINT, or a failure from inside. */
class Ending {
  readonly #reached: Promise<void>
  #resolve = (): void => {}
  #reject = (_error: OperationalError): void => {}
  /** At the first signal; the second one ends the process. */
  readonly #end = (): void => {
    this.ignore()
    this.#resolve()
  }

  constructor() {
    this.#reached = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    // It may fail before somebody waits for it.
    this.#reached.catch(() => {})
  }

  /** Before, while lists are read, a signal ends the process as ever. */
  listen(): void {
    for (const signal of END_SIGNALS) process.on(signal, this.#end)
  }

  /** From now on a signal ends the process at once. */
  ignore(): void {
    for (const signal of END_SIGNALS) process.off(signal, this.#end)
  }

  fail(error: OperationalError): void {
    this.#reject(error)
  }

  /** Resolves at the first signal, which may have come already. */
  reached(): Promise<void> {
    return this.#reached
  }
}
