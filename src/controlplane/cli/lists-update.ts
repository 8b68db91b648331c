/** `niveau3 lists update`: fetch, check, build, test and put in force what is subscribed to. */

import type { Command } from 'commander'
import { EXIT, type ExitCode } from '../../base/errors.ts'
import { overruleTexts, WHOLE } from '../generations/overruled-gates.ts'
import type { UpdateResult } from '../generations/update.ts'
import type { ListOutcome } from '../generations/update-list.ts'
import { UPDATE_LISTS } from '../operations/update-subscribed.ts'
import { collect, finish, printJson, type Cli } from './cli.ts'
import { groupDigits } from './filter-image.ts'
import { ListBars } from './list-bars.ts'
import { perform } from './perform.ts'
import { printable, type Terminal } from './terminal.ts'
import { Interruption } from './interruption.ts'
import { addServerOptions, type ServerOptions } from './server-options.ts'

interface Options extends ServerOptions {
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
  addServerOptions(command)
  finish(command, [
    'niveau3 lists update',
    'niveau3 lists update --plan',
    'niveau3 lists update hagezi-nsfw --force hagezi-nsfw:removed-share --reason "renamed"',
  ])
}

async function update(names: readonly string[], options: Options, cli: Cli): Promise<void> {
  const bars = new ListBars(cli.terminal)
  const interruption = new Interruption()
  const { due = false, force = [], plan = false, reason } = options
  const lists = names.length === 0 ? undefined : [...names]
  const wanted = { lists, force: [...force], plan, due, reason }
  try {
    const { result, whoTakesIt } = await perform(UPDATE_LISTS, wanted, options, cli, {
      // What is due is the server's own wish, which it has in a process of its own.
      isHere: due,
      by: due ? 'schedule' : 'command',
      signal: interruption.signal,
      onProgress: (progress) => {
        bars.update(progress)
        if (progress.phase !== 'done' || options.json) return
        cli.terminal.out(outcomeText(progress.outcome, cli.terminal))
      },
    })
    bars.clear()
    if (options.json) printJson(cli.terminal, 'lists-update', resultJson(result))
    else cli.terminal.out(resultText(result, whoTakesIt))
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

function resultText(result: UpdateResult, whoTakesIt: string): string {
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
  if (kind === 'planned') {
    const asked = recentText(result)
    return `${refusals}plan: a new generation${change}; nothing was changed\n${asked}${advice}`
  }
  if (kind === 'refused') return `${refusals}${stays}\n${advice}`
  const names = groupDigits(generation?.report.names ?? 0)
  return (
    `generation ${generation?.number}: ${names} names${change}, self-test ${groupDigits(probes)} ` +
    `questions, digest ${generation?.report.digest.slice(0, 12)}\n${whoTakesIt}\n${advice}`
  )
}

/** What the plan would mean for those who have asked lately. */
function recentText({ recentlyAsked }: UpdateResult): string {
  if (recentlyAsked === undefined) return ''
  const { names, newlyBlocked, newlyOpen } = recentlyAsked
  return (
    `of ${groupDigits(names)} names that were asked here lately ${groupDigits(newlyBlocked)} would ` +
    `be newly blocked, ${groupDigits(newlyOpen)} no longer\n`
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
    recentlyAsked: result.recentlyAsked ?? null,
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
