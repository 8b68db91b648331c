/** The command line: all commands, what holds for each of them, and the exit code. */

import { Command } from 'commander'
import { EXIT, type ExitCode } from '../../base/errors.ts'
import { packageVersion } from '../version.ts'
import { exampleText, fail, type Cli } from './cli.ts'
import { addServe, type StartServer } from './serve.ts'
import type { Terminal } from './terminal.ts'

/** What the command line is given by its process, or by a test. */
export interface Surroundings {
  readonly terminal: Terminal
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly readStdin: () => string
  /** Without it there is no command `serve`: a test of the others needs no server. */
  readonly startServer?: StartServer
}

const EXIT_CODES = `
Exit codes: 0 ok, 1 error, 2 usage, 3 server unreachable, 4 invalid or missing configuration, list or
image, 5 partly done, 6 refused by a safety gate, 10 would be blocked (check --exit-code), 130 interrupted.
`

/** Runs one command line, without the program's name, and returns its exit code. */
export async function runCli(
  args: readonly string[],
  surroundings: Surroundings,
): Promise<ExitCode> {
  const isJson = args.includes('--json')
  let exitCode: ExitCode = EXIT.ok
  const cli: Cli = { ...surroundings, endWith: (code) => (exitCode = code) }
  try {
    const program = createProgram(cli, isJson)
    if (surroundings.startServer) addServe(program, cli, surroundings.startServer)
    // The server runs for months: it does not carry what only the other commands need.
    if (args[0] !== 'serve') {
      const isHelp =
        args[0] === undefined || /^(?:help|-h|--help|completion|manpage)$/.test(args[0])
      const [isLists, isFleet] = [args[0] === 'lists' || isHelp, args[0] === 'fleet' || isHelp]
      await addOtherCommands(program, cli, isLists, isFleet)
    }
    await program.parseAsync([...args], { from: 'user' })
    return exitCode
  } catch (error) {
    return fail(error, isJson, surroundings.terminal)
  }
}

/** The tree of commands. Each may run once: commander keeps the options that it has read. */
function createProgram(cli: Cli, isJson: boolean): Command {
  const { terminal } = cli
  const program = new Command('niveau3')
    .description('A DNS resolver that filters: dark-web gateways, adult content, VPN endpoints.')
    .version(`niveau3 ${packageVersion()}`, '-V, --version')
    .exitOverride()
    .configureOutput({
      writeOut: terminal.out,
      writeErr: (text) => (isJson ? undefined : terminal.err(text)),
    })
    .showHelpAfterError('Add --help for the options and examples.')
  program.helpCommand('help [command]', 'display help for a command')
  program.addHelpText(
    'after',
    exampleText([
      'niveau3 serve',
      'niveau3 check torproject.org',
      'niveau3 query example.com AAAA',
      'niveau3 status',
      'niveau3 lists compile --out lists.n3 --blocklist vpn=ut1-vpn.txt.gz',
      'niveau3 config show --changed --origin',
    ]) + EXIT_CODES,
  )
  return program
}

async function addOtherCommands(
  program: Command,
  cli: Cli,
  isLists: boolean,
  isFleet: boolean,
): Promise<void> {
  const { addCompletion } = await import('./completion.ts')
  const { addCheck } = await import('./check.ts')
  const { addConfigCheck } = await import('./config-check.ts')
  const { addConfigSchema } = await import('./config-schema.ts')
  const { addConfigShow } = await import('./config-show.ts')
  const { addDoctor } = await import('./doctor.ts')
  const { addListsCompile } = await import('./lists-compile.ts')
  const { addListsInspect } = await import('./lists-inspect.ts')
  const { addListsSearch } = await import('./lists-search.ts')
  const { addRouter } = await import('./router.ts')
  const { addProbe } = await import('./probe.ts')
  const { addQuery } = await import('./query.ts')
  const { addReload } = await import('./reload.ts')
  const { addStatus } = await import('./status.ts')
  const { addTail } = await import('./tail.ts')
  const { addTop } = await import('./top.ts')
  await addOverruleCommands(program, cli)
  addCheck(program, cli)
  addQuery(program, cli)
  addProbe(program, cli)
  addStatus(program, cli)
  addTop(program, cli)
  addTail(program, cli)
  addReload(program, cli)
  const lists = program
    .command('lists')
    .description('subscribe to, update, compile and search block lists')
    .addHelpText(
      'after',
      exampleText(['niveau3 lists update', 'niveau3 lists ls', 'niveau3 lists inspect lists.n3']),
    )
  // The others do not wait for what only these need.
  if (isLists) await addSubscriptionCommands(lists, cli)
  addListsCompile(lists, cli)
  addListsInspect(lists, cli)
  addListsSearch(lists, cli)
  if (isFleet) await addFleetCommands(program, cli)
  const config = program
    .command('config')
    .description('check and show the configuration')
    .addHelpText('after', exampleText(['niveau3 config check', 'niveau3 config show --origin']))
  addConfigCheck(config, cli)
  addConfigShow(config, cli)
  addConfigSchema(config, cli)
  addRouter(program, cli)
  addDoctor(program, cli)
  addCompletion(program, cli)
}

/** The commands on images that one machine builds for many. */
async function addFleetCommands(program: Command, cli: Cli): Promise<void> {
  const { addFleetKeygen } = await import('./fleet-keygen.ts')
  const { addFleetPublish } = await import('./fleet-publish.ts')
  const { addFleetPull } = await import('./fleet-pull.ts')
  const fleet = program
    .command('fleet')
    .description('build an image once, sign it, and take it on many boxes')
    .addHelpText(
      'after',
      exampleText([
        'niveau3 fleet keygen fleet.key',
        'niveau3 fleet publish --key fleet.key --redis',
      ]),
    )
  addFleetKeygen(fleet, cli)
  addFleetPublish(fleet, cli)
  addFleetPull(fleet, cli)
}

/** The commands by which operators overrule the lists. */
async function addOverruleCommands(program: Command, cli: Cli): Promise<void> {
  const { addAllow, addDeny } = await import('./allow.ts')
  const { addPause, addResume } = await import('./pause.ts')
  const { addRules } = await import('./rules.ts')
  addAllow(program, cli)
  addDeny(program, cli)
  addRules(program, cli)
  addPause(program, cli)
  addResume(program, cli)
}

/** The commands on what is subscribed to and on what was made of it. */
async function addSubscriptionCommands(lists: Command, cli: Cli): Promise<void> {
  const { addListsAdd } = await import('./lists-add.ts')
  const { addListsDiff } = await import('./lists-diff.ts')
  const { addListsLs } = await import('./lists-ls.ts')
  const { addListsPin } = await import('./lists-pin.ts')
  const { addListsEnable, addListsRm } = await import('./lists-rm.ts')
  const { addListsResume, addListsRollback } = await import('./lists-rollback.ts')
  const { addListsTest } = await import('./lists-test.ts')
  const { addListsUpdate } = await import('./lists-update.ts')
  addListsLs(lists, cli)
  addListsUpdate(lists, cli)
  addListsDiff(lists, cli)
  addListsRollback(lists, cli)
  addListsResume(lists, cli)
  addListsPin(lists, cli)
  addListsAdd(lists, cli)
  addListsRm(lists, cli)
  addListsEnable(lists, cli)
  addListsTest(lists, cli)
}
