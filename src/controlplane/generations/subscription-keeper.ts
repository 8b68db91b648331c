/**
 * Keeps a running server's lists fresh: runs an update in a process of its own when a list is due,
 * and tells when another generation is in force, whoever has put it there.
 *
 * The update is the command `niveau3 lists update --due`, or `niveau3 fleet pull --due` where a
 * fleet's image is taken.
 */

import { unwatchFile, watchFile } from 'node:fs'
import type { Logger } from 'pino'

import { programFile } from '../package-files.ts'
import { MINUTE_S, SECOND_MS } from '../../base/units.ts'
import type { SubscribedFacts } from '../admin/server-facts.ts'
import { readPullStatus, type PullStatus } from '../fleet/pull-status.ts'
import { ChildCommand, type CommandEnd } from './child-command.ts'
import { currentFileOf, GenerationStore } from './generation-store.ts'
import { ListVersions } from './list-versions.ts'
import { intervalMsMin, nextDueAtMs } from './schedule.ts'
import { findServedGeneration } from './served-generation.ts'
import { loadSubscriptions } from './subscriptions.ts'
import { UpdateCounter } from './update-counter.ts'

const PROGRAM = programFile('bin.js')
/** A rollback is to be in force within a second. */
const LOOK_MS = 400
/** Subscriptions change by commands: they are looked at so often at the least. */
const SCHEDULE_MS_MAX = 5 * MINUTE_S * SECOND_MS
/** Never busier than this, whatever the clock and the state say. */
const SCHEDULE_MS_MIN = 10 * SECOND_MS
/** After a look for the fleet's image that failed: this, doubled with every further one. */
const FIRST_RETRY_MS = 15 * SECOND_MS
const DOUBLINGS_MAX = 10
/** A fleet in which many boxes speak at once is not answered with one look for each. */
const PULLS_APART_MS = 10 * SECOND_MS
/** Boxes that hear the same announcement do not all look at the same moment. */
const PULL_JITTER_MS = 3 * SECOND_MS
const JITTER_SHARE = 0.1

export interface KeeperOptions {
  readonly stateDirectory: string
  /** The file of `--config`, handed on to the update. */
  readonly configFile: string | undefined
  readonly isAutomatic: () => boolean
  /** Where the image of a fleet is taken: how often to look; else lists are updated. */
  readonly fleet?: (() => { readonly pollSeconds: number } | undefined) | undefined
  readonly log: Logger
  /** Another generation is in force. */
  readonly onChange: () => void
  /** Variables that it gets beyond those of the server: what flags of the server say. */
  readonly environment?: Readonly<Record<string, string>> | undefined
  /** The command that updates; default: this program. */
  readonly command?: readonly string[] | undefined
}

/** How a subscribed list fares. */
interface SubscribedListFacts extends SubscribedFacts {
  /** Undefined before the first success. */
  readonly succeededAtSeconds: number | undefined
  /** Undefined before the first attempt. */
  readonly attemptedAtSeconds: number | undefined
  /** Of the version in force; undefined where none is, or an older niveau3 took it. */
  readonly invalidLines: number | undefined
}

/** One server's keeper, from `start` to `stop`. */
export class SubscriptionKeeper {
  readonly #options: KeeperOptions
  readonly #file: string
  #timer: NodeJS.Timeout | undefined
  readonly #command = new ChildCommand()
  #pulledAtMs = -Infinity
  #isTurning = false
  #isPullWanted = false
  #pulled: PullStatus | undefined
  #isStopped = false
  /** Updates in a row that have left the lists due. */
  #undone = 0
  #facts: readonly SubscribedListFacts[] = []
  #isHeld = false
  readonly #counts = new UpdateCounter()
  /** The generation in force cannot be served: an update makes it again of the kept lists. */
  #isDamaged = true

  constructor(options: KeeperOptions) {
    this.#options = options
    this.#file = currentFileOf(options.stateDirectory)
  }

  /** For metrics: as of the last look at the state directory. */
  get facts(): readonly SubscribedListFacts[] {
    return this.#facts
  }

  /** Of one list; undefined when it is not subscribed to. */
  factsOf(list: string): SubscribedListFacts | undefined {
    return this.#facts.find((facts) => facts.list === list)
  }

  /** Whether a rollback holds automatic updates. */
  get isHeld(): boolean {
    return this.#isHeld
  }

  /** How taking the fleet's image goes; undefined before the first look. */
  get pulled(): PullStatus | undefined {
    return this.#pulled
  }

  /** Somebody has said that the fleet's image is another one, or can be reached again. */
  pullSoon(): void {
    if (this.#isStopped || this.#options.fleet?.() === undefined) return
    if (this.#isTurning) {
      this.#isPullWanted = true
      return
    }
    const apartMs = Math.max(0, this.#pulledAtMs + PULLS_APART_MS - Date.now())
    this.#schedule(apartMs + Math.random() * PULL_JITTER_MS)
  }

  async start(): Promise<void> {
    await this.look()
    watchFile(this.#file, { interval: LOOK_MS, persistent: false }, (now, before) => {
      if (now.mtimeMs === before.mtimeMs && now.ino === before.ino) return
      void this.look()
      this.#options.onChange()
    })
    this.#schedule(0)
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    clearTimeout(this.#timer)
    unwatchFile(this.#file)
    await this.#command.stop()
  }

  #schedule(waitMs: number): void {
    clearTimeout(this.#timer)
    if (this.#isStopped) return
    this.#timer = setTimeout(() => void this.#turn(), waitMs)
    this.#timer.unref()
  }

  /** One look at what is due; an update when something is. */
  async #turn(): Promise<void> {
    let waitMs = SCHEDULE_MS_MAX
    this.#isTurning = true
    try {
      await this.look()
      const fleet = this.#options.fleet?.()
      const mayRun = this.#options.isAutomatic() && !this.#isHeld && !this.#isStopped
      if (fleet !== undefined) waitMs = await this.#turnToFleet(fleet.pollSeconds, mayRun)
      else if (mayRun) waitMs = await this.#turnToLists()
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error)
      this.#options.log.error({ event: 'update_schedule_failed' }, `no update was started: ${why}`)
    }
    this.#isTurning = false
    this.#schedule(Math.max(SCHEDULE_MS_MIN, waitMs))
  }

  async #turnToLists(): Promise<number> {
    const dueMs = await nextDueAtMs(this.#options.stateDirectory, Math.random)
    if (dueMs === undefined) return SCHEDULE_MS_MAX
    const isDue = dueMs <= Date.now()
    if (!isDue && !(await this.#lookForDamage()))
      return Math.min(SCHEDULE_MS_MAX, dueMs - Date.now())
    this.#options.log.info({ event: 'update_started' }, 'fetching the lists that are due')
    const end = await this.#run(['lists', 'update', '--due'])
    this.#tell(end)
    return this.#waitAfter(end, isDue)
  }

  /**
   * An update that notes how its lists went has moved their next time. One that ends before, as on
   * a full disk, leaves them due, or the damage as it is: each further one waits twice as long, up
   * to the interval.
   */
  async #waitAfter({ code }: CommandEnd, wasDue: boolean): Promise<number> {
    const { stateDirectory } = this.#options
    const dueMs = code === 0 ? undefined : await nextDueAtMs(stateDirectory, () => 0)
    const isUndone = dueMs !== undefined && (dueMs <= Date.now() || !wasDue)
    this.#undone = isUndone ? this.#undone + 1 : 0
    if (!isUndone) return SCHEDULE_MS_MAX
    const doublings = Math.min(this.#undone - 1, DOUBLINGS_MAX)
    return Math.min(SCHEDULE_MS_MAX * 2 ** doublings, await intervalMsMin(stateDirectory))
  }

  async #turnToFleet(pollSeconds: number, mayRun: boolean): Promise<number> {
    const pollMs = pollSeconds * SECOND_MS * (1 + Math.random() * JITTER_SHARE)
    if (!mayRun) return pollMs
    this.#pulledAtMs = Date.now()
    this.#isPullWanted = false
    this.#tellPull(await this.#run(['fleet', 'pull', '--due']))
    if (this.#isPullWanted) return PULLS_APART_MS
    const failures = this.#pulled?.failures ?? 0
    if (failures === 0) return pollMs
    const doublings = Math.min(failures - 1, DOUBLINGS_MAX)
    return Math.min(pollMs, FIRST_RETRY_MS * 2 ** doublings)
  }

  /** Looks until all is well once: what is in force was read whole then. */
  async #lookForDamage(): Promise<boolean> {
    if (!this.#isDamaged) return false
    const { stateDirectory } = this.#options
    const { passedOver } = await findServedGeneration(stateDirectory)
    this.#isDamaged = passedOver.length > 0
    return this.#isDamaged
  }

  /** Brings the facts up to date; a command has just changed the state directory. */
  async look(): Promise<void> {
    const { stateDirectory } = this.#options
    const state = await new GenerationStore(stateDirectory).state().catch(() => undefined)
    this.#isHeld = state !== undefined && state.hold !== null
    this.#pulled = await readPullStatus(stateDirectory).catch(() => this.#pulled)
    const subscriptions = (await loadSubscriptions(stateDirectory).catch(() => undefined)) ?? []
    this.#facts = await Promise.all(subscriptions.map(({ name }) => this.#factsOf(name)))
  }

  async #factsOf(list: string): Promise<SubscribedListFacts> {
    const versions = new ListVersions(this.#options.stateDirectory, list)
    const status = await versions.status().catch(() => undefined)
    const current = await versions.current().catch(() => undefined)
    return {
      list,
      succeededAtSeconds: secondsOf(status?.succeededAt),
      attemptedAtSeconds: secondsOf(status?.checkedAt),
      failures: status?.failures ?? 0,
      invalidLines: current?.invalidLines,
      updates: this.#counts.look(list, status),
    }
  }

  async #run(command: readonly string[]): Promise<CommandEnd> {
    const { configFile, environment, stateDirectory } = this.#options
    const [program = process.execPath, ...first] = this.#options.command ?? [
      process.execPath,
      PROGRAM,
    ]
    const args = [...first, ...command, '--json', '--state-dir', stateDirectory]
    if (configFile !== undefined) args.push('--config', configFile)
    const end = await this.#command.run(program, args, environment)
    await this.look()
    return end
  }

  #tellPull({ code, output }: CommandEnd): void {
    const { log } = this.#options
    const { result, why } = parsed(output)
    if (code !== 0) {
      if (!this.#isStopped) {
        log.error(
          { event: 'fleet_image_failed', exit: code },
          `no image of the fleet: ${why || code}`,
        )
      }
      return
    }
    const facts = { event: 'fleet_image', result, builtAt: this.#pulled?.taken?.createdAt }
    if (result === 'taken') log.info(facts, 'the image of the fleet is in force')
    else log.debug(facts, 'the fleet has no newer image')
  }

  /** One line a list that failed, one line for the whole. */
  #tell({ code, output }: CommandEnd): void {
    const { log } = this.#options
    const result = parsed(output)
    for (const { list, outcome, why, code: reason } of result.lists) {
      if (outcome !== 'failed' && outcome !== 'refused') continue
      log.error(
        { event: `list_${outcome}`, list, code: reason },
        `list ${list} ${outcome}, its last good version stays: ${why}`,
      )
    }
    if (code === 0) {
      log.info({ event: 'update_done', result: result.result }, `lists: ${result.result}`)
    } else if (!this.#isStopped) {
      const why = result.why === '' ? '' : `: ${result.why}`
      log.error({ event: 'update_incomplete', exit: code }, `the update ended with ${code}${why}`)
    }
  }
}

function secondsOf(time: string | undefined): number | undefined {
  return time === undefined ? undefined : Date.parse(time) / SECOND_MS
}

interface ToldList {
  readonly list: string
  readonly outcome: string
  readonly why: string
  readonly code: string
}

/** Reads the object that `lists update --json` prints, whatever became of it. */
function parsed(output: string): { result: string; why: string; lists: readonly ToldList[] } {
  const told = jsonOf(output)
  const lists = Array.isArray(told['lists']) ? told['lists'].map(fieldsOf) : []
  const error = fieldsOf(told['error'])
  const faults = Array.isArray(told['faults']) ? told['faults'].map(fieldsOf) : []
  return {
    result: textOf(told['result']),
    why: [textOf(error['message']), ...faults.map((fault) => textOf(fault['why']))]
      .filter((text) => text !== '')
      .join('; '),
    lists: lists.map((list) => ({
      list: textOf(list['list']),
      outcome: textOf(list['outcome']),
      why: textOf(list['why']),
      code: textOf(list['code']),
    })),
  }
}

function jsonOf(output: string): Readonly<Record<string, unknown>> {
  try {
    return fieldsOf(JSON.parse(output))
  } catch {
    return {}
  }
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? { ...value } : {}
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : ''
}
