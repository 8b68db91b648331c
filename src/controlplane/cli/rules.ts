/** `niveau3 rules`: what operators have allowed, denied and paused, and how to take it back. */

import { readFileSync } from 'node:fs'
import type { Command } from 'commander'
import { OperationalError } from '../../base/errors.ts'
import { isGroup } from '../config/plain.ts'
import { ImportRules } from '../overrule/requests.ts'
import { endText } from '../overrule/duration.ts'
import { exampleText, finish, printJson, type Cli } from './cli.ts'
import { atDesk, tellChange } from './overrule-desk.ts'
import { addServerOptions, type ServerOptions } from './server-options.ts'
import { printable, table } from './terminal.ts'

/** Adds `rules` with all that stands below it. */
export function addRules(program: Command, cli: Cli): void {
  const rules = program
    .command('rules')
    .description('the names that operators allow and deny, and what is paused')
    .addHelpText('after', exampleText(['niveau3 rules ls', 'niveau3 rules rm r-ab12cd34ef']))
  addLs(rules, cli)
  addRm(rules, cli)
  addExport(rules, cli)
  addImport(rules, cli)
}

function addLs(rules: Command, cli: Cli): void {
  const command = rules
    .command('ls')
    .description('show rules and pauses: until when, by whom, why')
    .action((options: ServerOptions) => ls(options, cli))
  addServerOptions(command)
  finish(command, ['niveau3 rules ls', 'niveau3 rules ls --json'])
}

async function ls(options: ServerOptions, cli: Cli): Promise<void> {
  const list = await atDesk(options, cli, (desk) => desk.list())
  if (options.json) {
    printJson(cli.terminal, 'rules', list)
    return
  }
  const { rules, pauses } = list
  for (const pause of pauses) {
    const what = pause.category === null ? 'all blocks' : `category ${pause.category}`
    const end = endText(pause.until ?? '')
    const site = pause.site === null ? '' : ` at ${pause.site}`
    const why = `${pause.user}: ${printable(pause.reason)}`
    cli.terminal.out(`PAUSED  ${what}${site} until ${end}  ${why}\n`)
  }
  if (rules.length === 0) {
    cli.terminal.out('no rules\n')
    return
  }
  const rows = rules.map((rule) => [
    rule.id,
    rule.what,
    rule.exact ? `=${rule.name}` : (rule.name ?? ''),
    rule.site ?? 'all',
    rule.category ?? '-',
    rule.until === null ? '-' : endText(rule.until),
    rule.user,
    printable(rule.reason),
  ])
  const head = ['ID', 'RULE', 'NAME', 'SITE', 'CATEGORY', 'UNTIL', 'BY', 'REASON']
  cli.terminal.out(table([head, ...rows]))
}

interface RmOptions extends ServerOptions {
  readonly reason?: string
}

function addRm(rules: Command, cli: Cli): void {
  const command = rules
    .command('rm')
    .description('remove rules, by id or by name: the lists decide again, at once')
    .argument('<id or name...>', 'ids as rules ls shows them, or names')
    .option('--reason <text>', 'why, for the audit log')
    .action((targets: readonly string[], options: RmOptions) => rm(targets, options, cli))
  addServerOptions(command)
  finish(command, ['niveau3 rules rm r-ab12cd34ef', 'niveau3 rules rm example.org'])
}

async function rm(targets: readonly string[], options: RmOptions, cli: Cli): Promise<void> {
  const { json, reason } = options
  const request = { targets: [...targets], reason }
  const change = await atDesk(options, cli, (desk) => desk.remove(request))
  if (json) {
    printJson(cli.terminal, 'rules-rm', change)
    return
  }
  tellChange(change, cli.terminal)
  for (const { what, name, exact, site, category } of change.removed) {
    const flags = [
      ...(exact ? ['--exact'] : []),
      ...(site === null ? [] : ['--site', site]),
      ...(what === 'deny' && category !== null && category !== 'denied'
        ? ['--category', category]
        : []),
    ]
    cli.terminal.out(`undo: niveau3 ${[what, name, ...flags].join(' ')} --reason TEXT\n`)
  }
}

function addExport(rules: Command, cli: Cli): void {
  const command = rules
    .command('export')
    .description('print all rules as JSON that rules import reads')
    .action((options: ServerOptions) => exportRules(options, cli))
  addServerOptions(command)
  finish(command, ['niveau3 rules export > rules.json'])
}

async function exportRules(options: ServerOptions, cli: Cli): Promise<void> {
  const { rules } = await atDesk(options, cli, (desk) => desk.list())
  const portable = rules.map(({ what, name, exact, site, category, until, reason }) => ({
    action: what,
    name,
    exact,
    site,
    category,
    until,
    reason,
  }))
  printJson(cli.terminal, 'rules-export', { rules: portable })
}

interface ImportOptions extends ServerOptions {
  readonly force?: boolean
}

function addImport(rules: Command, cli: Cli): void {
  const command = rules
    .command('import')
    .description('add all rules of a file that rules export has printed, or none')
    .argument('<file>', 'the file; - reads standard input')
    .option('--force', 'whole registries and essential names too')
    .action((file: string, options: ImportOptions) => importRules(file, options, cli))
  addServerOptions(command)
  finish(command, ['niveau3 rules import rules.json', 'niveau3 rules import - < rules.json'])
}

async function importRules(file: string, options: ImportOptions, cli: Cli): Promise<void> {
  const { force = false } = options
  const rules = rulesOf(file === '-' ? cli.readStdin() : textOf(file), file)
  const change = await atDesk(options, cli, (desk) => desk.importRules({ rules, force }))
  if (options.json) {
    printJson(cli.terminal, 'rules-import', change)
    return
  }
  tellChange(change, cli.terminal)
  cli.terminal.out(`${change.added.length} rules; niveau3 rules ls shows all\n`)
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new OperationalError('ERR_USAGE', `${file} cannot be read: ${why}`, { file, cause })
  }
}

/** @throws OperationalError ERR_USAGE naming the first fault. */
function rulesOf(text: string, file: string): ImportRules['rules'] {
  let content: unknown
  try {
    content = JSON.parse(text)
  } catch {
    content = undefined
  }
  const exported = isGroup(content) ? { rules: content['rules'] } : {}
  const parsed = ImportRules.safeParse(exported)
  if (parsed.success) return parsed.data.rules
  const [issue] = parsed.error.issues
  const why = issue === undefined ? '' : ` (${issue.path.join('.')}: ${issue.message})`
  const what = file === '-' ? 'standard input' : file
  const message = `${what} is not what niveau3 rules export prints${why}`
  throw new OperationalError('ERR_USAGE', message)
}
