/** `niveau3 lists update`: fetch, check, build, test and put in force what is subscribed to. */

import type { Command } from 'commander'
import { EXIT, type ExitCode } from '../../base/errors.ts'
import { loadCatalogue } from '../blocklist/catalogue.ts'
import { compileInThread } from '../compiler/compile-thread.ts'
import { currentActor } from '../generations/audit.ts'
import { defaultSubscriptions } from '../generations/subscriptions.ts'
import { overruleTexts, WHOLE } from '../generations/overruled-gates.ts'
import { updateLists, type UpdateOptions, type UpdateResult } from '../generations/update.ts'
import type { ListOutcome } from '../generations/update-list.ts'
import { collect, finish, printJson, type Cli } from './cli.ts'
import { groupDigits } from './filter-image.ts'
import { ListBars } from './list-bars.ts'
import {
  addStateOptions,
  loadState,
  whoTakesIt,
  type StateConfig,
  type StateOptions,
} from './lists-state.ts'
import { printable, type Terminal } from './terminal.ts'

interface Options extends StateOptions {
  readonly plan?: boolean
  readonly force?: readonly string[]
  readonly reason?: string
  readonly due?: boolean
}

/** Adds the command. */
export function addListsUpdate(lists: Command, cli: Cli): void {
  const command = lists
    .command('update')
    .description('fetch the subscribed lists and put a new image in force, if it is a good one')
    .argument('[list...]', 'lists to ask for; all that are enabled and not pinned when left out')
    .option('--plan', 'show what would change, and change nothing')
    .option(
      '--force <gate>',
      'overrule LIST, LIST:GATE or, for all lists together, all:GATE; repeatable, needs --reason',
      collect,
    )
    .option('--reason <text>', 'why, for the audit log')
    .option(
      '--due',
      'only lists whose interval is over; changes nothing while a rollback holds updates',
    )
    .action((names: readonly string[], options: Options) => update(names, options, cli))
  addStateOptions(command)
  finish(command, [
    'niveau3 lists update',
    'niveau3 lists update --plan',
    'niveau3 lists update hagezi-nsfw --force hagezi-nsfw:removed-share --reason "renamed"',
  ])
}

async function update(names: readonly string[], options: Options, cli: Cli): Promise<void> {
  const config = loadState(options, cli)
  const { stateDirectory } = config
  const actor = currentActor(options.due ? 'schedule' : 'command')
  const bars = new ListBars(cli.terminal)
  const interruption = new Interruption()
  try {
    const result = await updateLists({
      stateDirectory,
      control: config.control,
      settings: config.dataplane,
      environment: cli.environment,
      actor,
      lists: names.length === 0 ? undefined : names,
      newcomer: defaultSubscriptions(await loadCatalogue()),
      force: options.force ?? [],
      plan: options.plan === true,
      due: options.due === true,
      reason: options.reason,
      signal: interruption.signal,
      compile: compilerOf(config, interruption.signal),
      onProgress: (progress) => {
        bars.update(progress)
        if (progress.phase !== 'done' || options.json) return
        cli.terminal.out(outcomeText(progress.outcome, cli.terminal))
      },
    })
    bars.clear()
    if (options.json) printJson(cli.terminal, 'lists-update', resultJson(result))
    else cli.terminal.out(resultText(result, config))
    cli.endWith(exitCodeOf(result))
  } catch (error) {
    bars.clear()
    if (!interruption.signal.aborted) throw error
    cli.terminal.err('interrupted: the lists and the image in force are what they were\n')
    cli.endWith(EXIT.interrupted)
  } finally {
    interruption.end()
  }
}

/** Compiles off the main thread, which has progress to show and signals to hear. */
function compilerOf({ control }: StateConfig, signal: AbortSignal): UpdateOptions['compile'] {
  const { essentialFiles } = control
  return (sources, onProgress) => compileInThread(sources, { essentialFiles, onProgress, signal })
}

/** Ctrl-C while an update runs: it ends by itself, at the next step. */
class Interruption {
  readonly #controller = new AbortController()
  readonly #listener = (): void => this.#controller.abort(new Error('interrupted'))

  constructor() {
    process.once('SIGINT', this.#listener)
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  end(): void {
    process.off('SIGINT', this.#listener)
  }
}

/** 6 when a gate refused something, 5 when something could not be had, else 0. */
function exitCodeOf({ faults, outcomes }: UpdateResult): ExitCode {
  if (faults.length > 0) return EXIT.refused
  if (outcomes.some(({ outcome }) => outcome === 'refused')) return EXIT.refused
  return outcomes.some(({ outcome }) => outcome === 'failed') ? EXIT.partial : EXIT.ok
}

const WORDS = {
  updated: ['green', 'updated'],
  unchanged: ['dim', 'same'],
  failed: ['red', 'FAILED'],
  refused: ['red', 'REFUSED'],
} as const

/** One line a list. */
function outcomeText(outcome: ListOutcome, { paint }: Terminal): string {
  const { list, names, comparison, why, forced, report } = outcome
  const [style, word] = WORDS[outcome.outcome]
  const size = names === undefined ? '' : ` ${groupDigits(names)} names`
  const change =
    comparison === undefined
      ? ''
      : ` (+${groupDigits(comparison.added.names)} -${groupDigits(comparison.removed.names)})`
  const gates = forced
    ? `, gates overruled: ${outcome.faults.map(({ gate }) => gate).join(', ')}`
    : ''
  const exempted = (report?.exemptedCount ?? 0) > 0 ? `, ${report?.exemptedCount} exempted` : ''
  const kept = names === undefined ? 'no version yet' : 'the last good version stays'
  const head = `${paint(style, word.padEnd(7))} ${list}`
  return outcome.outcome === 'failed' || outcome.outcome === 'refused'
    ? `${head}: ${printable(why)}; ${kept}\n`
    : `${head}:${size}${change}${exempted}${gates}\n`
}

function resultText(result: UpdateResult, config: StateConfig): string {
  const { comparison, faults, generation, kind, probes } = result
  const change =
    comparison === undefined
      ? ''
      : `, +${groupDigits(comparison.added.names)} -${groupDigits(comparison.removed.names)}` +
        ` moved ${groupDigits(comparison.moved.names)}`
  const stays =
    generation === undefined
      ? 'there is no generation yet'
      : `generation ${generation.number} stays`
  const refusals = faults.map(({ gate, why }) => `REFUSED all lists: ${why} (${gate})\n`).join('')
  const advice = adviceText(result)
  if (result.isHeld === true) return `${stays}: updates are held\n`
  if (kind === 'unchanged') return `${stays}: its lists are the same\n${advice}`
  if (kind === 'planned')
    return `${refusals}plan: a new generation${change}; nothing was changed\n${advice}`
  if (kind === 'refused') return `${refusals}${stays}\n${advice}`
  const names = groupDigits(generation?.report.names ?? 0)
  return (
    `generation ${generation?.number}: ${names} names${change}, self-test ${groupDigits(probes)} ` +
    `questions, digest ${generation?.report.digest.slice(0, 12)}\n${whoTakesIt(config)}\n${advice}`
  )
}

/** How to take what was refused, for somebody who has looked at it. */
function adviceText({ faults, outcomes }: UpdateResult): string {
  const refused = outcomes.filter(({ outcome }) => outcome === 'refused')
  const texts = [
    ...refused.flatMap(({ list, faults: own }) => overruleTexts(list, own)),
    ...overruleTexts(WHOLE, faults),
  ]
  if (texts.length === 0) return ''
  const options = texts.map((text) => `--force ${text}`).join(' ')
  return `to take it all the same: niveau3 lists update ${options} --reason TEXT\n`
}

function resultJson(result: UpdateResult): object {
  const { comparison, faults, generation, kind, outcomes, probes } = result
  return {
    result: kind,
    held: result.isHeld === true,
    generation: generation?.number ?? null,
    digest: generation?.report.digest ?? null,
    names: generation?.report.names ?? null,
    comparison: comparison ?? null,
    selfTestQuestions: probes,
    faults,
    overruled: result.overruledFaults,
    lists: outcomes.map(({ report, ...outcome }) => ({
      ...outcome,
      code: outcome.code ?? null,
      names: outcome.names ?? null,
      comparison: outcome.comparison ?? null,
      essentialHits: report?.essentialHits.slice(0, 100) ?? [],
      refusedRules: report?.refused.slice(0, 100) ?? [],
    })),
  }
}
