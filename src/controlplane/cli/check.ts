/** `niveau3 check`: why a name is blocked, or why it is not. */

import { access } from 'node:fs/promises'
import type { Command } from 'commander'
import { pino } from 'pino'
import { EXIT, OperationalError } from '../../base/errors.ts'
import { Client, SITE_DEFAULT } from '../../dataplane/client.ts'
import { FAMILY_IPV4, PROTO_UDP } from '../../dataplane/counters.ts'
import { ClientAccess } from '../../dataplane/transport/client-access.ts'
import { SOCKADDR_IN6_OCTETS } from '../../sys/socket-address.ts'
import { SiteAddresses } from '../site-addresses.ts'
import type { Trie } from '../../trie/open.ts'
import { EssentialNames } from '../blocklist/essential.ts'
import type { ListSource } from '../blocklist/list-source.ts'
import { nameToText } from '../blocklist/name-text.ts'
import { ACTION_BLOCK } from '../blocklist/rule.ts'
import { parseAddress } from '../config/addresses.ts'
import type { BlocklistFlag } from '../config/flags.ts'
import { loadConfig, type LoadedConfig } from '../config/load.ts'
import { collectBlocklist, finish, printJson, type Cli } from './cli.ts'
import { stepsOf } from './check-steps.ts'
import { explainedFilter, rulesSince, type ExplainedFilter } from './explained-filter.ts'
import { findingJson, findingText, type Finding, type Reason } from './finding.ts'
import {
  loadOverruled,
  operatorDoing,
  siteNameOf,
  undoCommand,
  type OperatorDoing,
} from './overruled.ts'
import { requireHost, requireType, typeName } from './names-and-types.ts'
import { startProgress } from './progress.ts'
import { doesListBlock, searchRules, type ListedRule } from './rule-search.ts'
import type { Terminal } from './terminal.ts'
import { Judge, type Verdict } from './verdict.ts'

interface Options {
  readonly type: string
  readonly client?: string
  readonly image?: string
  readonly blocklist?: readonly BlocklistFlag[]
  readonly config?: string
  readonly stateDir?: string
  readonly json?: boolean
  readonly exitCode?: boolean
}

/** Adds the command. */
export function addCheck(program: Command, cli: Cli): void {
  const command = program
    .command('check')
    .description('tell whether names are blocked: by which rule of which list, or why not')
    .argument('<name...>', 'the names')
    .option('-t, --type <type>', 'the record type asked for', 'A')
    .option(
      '--client <addr>',
      'the address of a client: is it answered, and by the policy of which site?',
    )
    .option('--image <file>', 'a compiled image instead of lists')
    .option(
      '--blocklist <category=file>',
      'a list in any format, instead of the configured ones, repeatable',
      collectBlocklist,
    )
    .option('-c, --config <file>', 'configuration file')
    .option('--state-dir <dir>', 'the state directory, instead of the configured one')
    .option('--exit-code', 'end with 10 when one of the names would be blocked')
    .action((names: readonly string[], options: Options) => check(names, options, cli))
  finish(command, [
    'niveau3 check www.torproject.org',
    'niveau3 check example.com example.org --type HTTPS --client 10.20.3.4',
    'niveau3 check example.com --blocklist adult=union.txt.gz --exit-code',
  ])
}

async function check(texts: readonly string[], options: Options, cli: Cli): Promise<void> {
  const names = texts.map((text) => requireHost(text, (line) => cli.terminal.err(`${line}\n`)))
  const type = requireType(options.type)
  const { image, blocklist, config: configFile, stateDir } = options
  const flags = { image, blocklist, stateDir }
  const config = loadConfig({ configFile, flags, environment: cli.environment })
  const site = options.client === undefined ? SITE_DEFAULT : await siteOf(options.client, config)
  const findings =
    site === undefined
      ? names.map((name) => droppedFinding(name, options.client ?? ''))
      : await findAll(names, type, site, config, cli.terminal)
  const siteName = config.dataplane.sites[(site ?? SITE_DEFAULT) - 1]?.name ?? null
  if (options.json) {
    const results = findings.map(findingJson)
    const client = options.client === undefined ? {} : { client: options.client, site: siteName }
    printJson(cli.terminal, 'check', { type: typeName(type), ...client, results })
  } else {
    if (siteName !== null) cli.terminal.out(`${options.client} is at the site ${siteName}\n`)
    for (const finding of findings) cli.terminal.out(findingText(finding, cli.terminal))
  }
  const isBlocked = findings.some(({ verdict }) => verdict === 'blocked')
  if (isBlocked && options.exitCode) cli.endWith(EXIT.wouldBlock)
}

/**
 * The number of the client's site; undefined when its queries get no answer. Sites known by names
 * are looked up as the server does.
 */
async function siteOf(text: string, config: LoadedConfig): Promise<number | undefined> {
  const address = parseAddress(text)
  if (typeof address !== 'string') {
    throw new OperationalError('ERR_USAGE', `--client: ${address.fault}`)
  }
  const sites = new SiteAddresses(pino({ level: 'silent' }), () => Promise.resolve())
  const dataplane = await sites.follow(config)
  sites.stop()
  const client = new Client(PROTO_UDP, FAMILY_IPV4)
  const octets = new Uint8Array(SOCKADDR_IN6_OCTETS)
  return new ClientAccess(dataplane).findText(address, octets, client) ? client.site : undefined
}

function droppedFinding(name: Uint8Array, client: string): Finding {
  const why = `${client} is outside allowFrom and in no site: its queries get no answer`
  return { ...passedFinding(name, 'client', why), verdict: 'dropped' }
}

async function findAll(
  names: readonly Uint8Array[],
  type: number,
  site: number,
  config: LoadedConfig,
  terminal: Terminal,
): Promise<readonly Finding[]> {
  const { control, dataplane } = config
  const essential = await EssentialNames.load(control.essentialFiles)
  const filter = await explainedFilter(config)
  const { image } = filter
  const lists = image === undefined ? control.lists : await sourcesOf(image)
  const progress = startProgress(terminal)
  // The image has its rules behind the gates; its sources are read for their lines only.
  const gate = image === undefined ? essential : EssentialNames.none()
  const search = await searchRules(lists, names, gate, (list, index) => {
    progress.update(index, lists.length, `reading ${list.name}`)
  })
  progress.end()
  const overruled = await loadOverruled(config)
  const judge = new Judge(dataplane, image ?? search.trie, essential, overruled.overlay)
  const siteName = siteNameOf(config, site)
  const since = await rulesSince(filter, names)
  return names.map((name, index) => {
    const rules = search.rules[index] ?? []
    const known = image === undefined ? rules : rules.filter(isFrom(image, search.trie))
    const verdict = judge.judge(name, type, site)
    const finding = findingOf(name, verdict, known)
    const told = withOperator(finding, operatorDoing(verdict, name, siteName, overruled))
    return withWay(told, filter, since[index], control.stateDirectory !== undefined)
  })
}

/** Adds the steps, the age of the rule, and the command that would change the verdict. */
function withWay(
  finding: Finding,
  filter: ExplainedFilter,
  since: Finding['since'],
  canOverrule: boolean,
): Finding {
  return {
    ...finding,
    steps: stepsOf(finding, filter.label),
    since: finding.reason === 'rule' ? since : undefined,
    change: canOverrule ? changeCommand(finding) : undefined,
  }
}

/** The command that would change the verdict; none opens or closes what no operator may. */
function changeCommand({ category, name, operator, reason }: Finding): string | undefined {
  switch (reason) {
    case 'operator':
    case 'paused':
      return operator && undoCommand(operator)
    case 'rule':
      return `niveau3 allow ${name} --for 2h --reason TEXT`
    case 'no-rule':
    case 'exception':
    case 'refused-rule':
      return `niveau3 deny ${name} --reason TEXT`
    case 'category-off':
      return `niveau3 deny ${name} --reason TEXT, or categories.${category ?? 'NAME'}.blocked: true`
    default:
      return undefined
  }
}

/** Where an operator's rule or pause decided, and no list, the finding says so. */
function withOperator(finding: Finding, doing: OperatorDoing | undefined): Finding {
  if (doing === undefined) return finding
  const told = { ...finding, reason: doing.reason, why: doing.why, operator: doing.entry }
  return doing.entry.what === 'deny' ? { ...told, rule: undefined, list: undefined } : told
}

/** Tests whether a rule stands in the very source that the image was made of. */
function isFrom(image: Trie, sources: Trie): (rule: ListedRule) => boolean {
  const digests = new Set(image.lists.map(({ source, sha256 }) => `${sha256} ${source}`))
  const read = new Map(sources.lists.map(({ source, sha256 }) => [source, sha256]))
  return ({ list }) => digests.has(`${read.get(list.file)} ${list.file}`)
}

/** The sources of an image that are still where they were. */
async function sourcesOf(image: Trie): Promise<readonly ListSource[]> {
  const sources: ListSource[] = []
  for (const { name, category, source } of image.lists) {
    const isHere = await access(source).then(
      () => true,
      () => false,
    )
    const publicSuffixes = { icann: 'keep', private: 'keep' } as const
    if (isHere) sources.push({ name, category, file: source, curated: true, publicSuffixes })
  }
  return sources
}

function findingOf(name: Uint8Array, verdict: Verdict, rules: readonly ListedRule[]): Finding {
  if (verdict.kind === 'local') {
    const why = `${verdict.zone} is a special name, which never goes upstream`
    const finding = passedFinding(name, 'special-name', why, undefined, rules)
    return { ...finding, verdict: 'local', answer: verdict.answer }
  }
  const acting = actingRules(name, rules)
  if (verdict.kind === 'passed') return whyPassed(name, verdict, acting, rules)
  const { category, answer } = verdict
  const inCategory = acting.filter((rule) => rule.list.category === category)
  const rule = inCategory.find(({ list }) => list.name === verdict.list) ?? inCategory[0]
  return {
    name: nameToText(name),
    verdict: 'blocked',
    reason: 'rule',
    why: `category ${category}`,
    category,
    rule,
    list: rule?.list.name ?? verdict.list,
    answer,
    others: rules.filter((other) => other !== rule),
  }
}

/** For each list that blocks the name by itself, the longest of its rules. */
function actingRules(name: Uint8Array, rules: readonly ListedRule[]): readonly ListedRule[] {
  const lists = [...new Set(rules.map(({ list }) => list))]
  const acting = lists.flatMap((list) => {
    const own = rules.filter((rule) => rule.list === list)
    if (!doesListBlock(own, name)) return []
    return longest(own.filter(({ action, fate }) => action === ACTION_BLOCK && fate === 'obeyed'))
  })
  return acting.toSorted((a, b) => b.name.length - a.name.length)
}

function longest(rules: readonly ListedRule[]): readonly ListedRule[] {
  return rules.toSorted((a, b) => b.name.length - a.name.length).slice(0, 1)
}

function whyPassed(
  name: Uint8Array,
  { essential, categories }: Verdict & { kind: 'passed' },
  acting: readonly ListedRule[],
  rules: readonly ListedRule[],
): Finding {
  const passed = (reason: Reason, why: string, rule?: ListedRule) =>
    passedFinding(name, reason, why, rule, rules)
  const exempted = rules.find(({ fate }) => fate === 'exempted') ?? acting[0]
  if (essential !== undefined) {
    const consequence =
      exempted === undefined && categories.length === 0
        ? 'and no list has a rule for it'
        : 'which no list may block'
    return passed('essential', `${essential} is an essential name, ${consequence}`, exempted)
  }
  if (categories.length > 0) {
    const off = `category ${categories.join(', ')} is not blocked by configuration`
    return passed('category-off', off, acting[0])
  }
  const [exception] = longest(rules.filter(({ action }) => action !== ACTION_BLOCK))
  if (exception !== undefined && rules.some(({ action }) => action === ACTION_BLOCK)) {
    return passed('exception', `list ${exception.list.name} opens it by an exception`, exception)
  }
  const refused = rules.find(({ fate }) => fate === 'refused')
  if (refused !== undefined) {
    const why = `the rule of list ${refused.list.name} is on a public suffix and is refused`
    return passed('refused-rule', why, refused)
  }
  return passed('no-rule', 'no list has a rule for it')
}

function passedFinding(
  name: Uint8Array,
  reason: Reason,
  why: string,
  rule?: ListedRule,
  rules: readonly ListedRule[] = [],
): Finding {
  return {
    name: nameToText(name),
    verdict: 'passed',
    reason,
    why,
    category: undefined,
    rule,
    list: rule?.list.name,
    answer: undefined,
    others: rules.filter((other) => other !== rule),
  }
}
