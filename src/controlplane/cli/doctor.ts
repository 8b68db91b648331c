/** `niveau3 doctor`: looks at what keeps a server from answering, and says what to do. */

import type { Command } from 'commander'
import { EXIT } from '../../base/errors.ts'
import { loadConfig } from '../config/load.ts'
import { ConfigError, formatProblem } from '../config/problems.ts'
import { failed, fine, type Finding } from '../doctor/finding.ts'
import { lookAtAccess, lookAtPorts } from '../doctor/ports.ts'
import { lookAtClock, lookAtLists, lookAtRedis, lookAtRights } from '../doctor/state.ts'
import { lookAtUpstreams } from '../doctor/upstreams.ts'
import { finish, printJson, type Cli } from './cli.ts'
import { printable, type Terminal } from './terminal.ts'

interface Options {
  readonly config?: string
  readonly json?: boolean
}

/** Adds the command. */
export function addDoctor(program: Command, cli: Cli): void {
  const command = program
    .command('doctor')
    .description('look at ports, upstreams, Redis, clock, lists and rights, and say what to do')
    .option('-c, --config <file>', 'configuration file')
    .action((options: Options) => doctor(options, cli))
  finish(command, ['niveau3 doctor', 'niveau3 doctor --config /etc/niveau3/niveau3.yaml --json'])
}

async function doctor(options: Options, cli: Cli): Promise<void> {
  const findings = await lookAtAll(options, cli)
  const isConfigWrong = findings.some(
    ({ check, state }) => check === 'config' && state === 'failed',
  )
  const isFailed = findings.some(({ state }) => state === 'failed')
  cli.endWith(isConfigWrong ? EXIT.invalid : isFailed ? EXIT.error : EXIT.ok)
  if (options.json) {
    printJson(cli.terminal, 'doctor', { ok: !isFailed, findings })
    return
  }
  for (const finding of findings) cli.terminal.out(lines(finding, cli.terminal))
  const count = (state: Finding['state']): number =>
    findings.filter((finding) => finding.state === state).length
  cli.terminal.out(`${count('ok')} ok, ${count('warning')} warnings, ${count('failed')} failed\n`)
}

async function lookAtAll(options: Options, cli: Cli): Promise<readonly Finding[]> {
  try {
    const config = loadConfig({ configFile: options.config, environment: cli.environment })
    const { listen, allowFrom, upstreams } = config.dataplane
    // Ports one after another with nothing else: sockets of the other looks would be in the way.
    const ports = await lookAtPorts(listen)
    const [asked, redis, lists] = await Promise.all([
      lookAtUpstreams(upstreams),
      lookAtRedis(config),
      lookAtLists(config),
    ])
    const where = config.file === undefined ? 'no file, the defaults hold' : config.file
    return [
      fine('config', `the configuration is right (${where})`),
      ...ports,
      lookAtAccess(listen, allowFrom),
      ...asked,
      redis,
      lookAtClock(),
      ...lists,
      ...lookAtRights(config),
    ]
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return error.problems.map((problem) =>
      failed('config', formatProblem(problem), '"niveau3 config check" looks at it alone'),
    )
  }
}

/** Meaning is in the word; colour only helps. */
function lines({ state, check, text, remedy }: Finding, { paint }: Terminal): string {
  const style = { ok: 'green', warning: 'yellow', failed: 'red' } as const
  const first = `${paint(style[state], state.padEnd(7))}  ${check.padEnd(8)}  ${printable(text)}\n`
  return remedy === '' ? first : `${first}                     ${printable(remedy)}\n`
}
