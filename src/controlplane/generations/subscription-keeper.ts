/**
 * Keeps a running server's lists fresh: runs an update in a process of its own when a list is due,
 * and tells when another generation is in force, whoever has put it there.
 *
 * The update is the command `niveau3 lists update --due`: what it takes in memory goes back to the
 * system, and whatever happens to it, the server answers on.
 */

import { spawn, type ChildProcess } from 'node:child_process'
import { unwatchFile, watchFile } from 'node:fs'
import { constants, setPriority } from 'node:os'
import type { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from 'pino'

import { programFile } from '../package-files.ts'
import { MINUTE_S, SECOND_MS } from '../../base/units.ts'
import type { SubscribedFacts } from '../admin/server-facts.ts'
import { currentFileOf, GenerationStore } from './generation-store.ts'
import { ListVersions } from './list-versions.ts'
import { nextDueAtMs } from './schedule.ts'
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
/** An update that is asked to end and does not is killed: the server's own end does not wait. */
const STOP_MS_MAX = 2 * SECOND_MS
const OUTPUT_CHARS_MAX = 4 * 1024 * 1024

export interface KeeperOptions {
  readonly stateDirectory: string
  /** The file of `--config`, handed on to the update. */
  readonly configFile: string | undefined
  readonly isAutomatic: () => boolean
  readonly log: Logger
  /** Another generation is in force. */
  readonly onChange: () => void
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
  #child: ChildProcess | undefined
  #isStopped = false
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
    const child = this.#child
    if (child === undefined) return
    const ended = new Promise<void>((resolve) => child.once('close', () => resolve()))
    child.kill('SIGTERM')
    const waited = new AbortController()
    const patience = sleep(STOP_MS_MAX, undefined, { signal: waited.signal }).then(
      () => child.kill('SIGKILL'),
      () => false,
    )
    await Promise.race([ended, patience])
    waited.abort()
  }

  #schedule(waitMs: number): void {
    if (this.#isStopped) return
    this.#timer = setTimeout(() => void this.#turn(), waitMs)
    this.#timer.unref()
  }

  /** One look at what is due; an update when something is. */
  async #turn(): Promise<void> {
    let waitMs = SCHEDULE_MS_MAX
    try {
      await this.look()
      const dueMs = await nextDueAtMs(this.#options.stateDirectory, Math.random)
      const mayRun = this.#options.isAutomatic() && !this.#isHeld && !this.#isStopped
      if (dueMs !== undefined && mayRun) {
        if (dueMs <= Date.now() || (await this.#lookForDamage())) await this.#update()
        else waitMs = Math.min(waitMs, dueMs - Date.now())
      }
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error)
      this.#options.log.error({ event: 'update_schedule_failed' }, `no update was started: ${why}`)
    }
    this.#schedule(Math.max(SCHEDULE_MS_MIN, waitMs))
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

  async #update(): Promise<void> {
    const { configFile, log, stateDirectory } = this.#options
    const [program = process.execPath, ...first] = this.#options.command ?? [
      process.execPath,
      PROGRAM,
    ]
    const args = [...first, 'lists', 'update', '--due', '--json', '--state-dir', stateDirectory]
    if (configFile !== undefined) args.push('--config', configFile)
    log.info({ event: 'update_started' }, 'fetching the lists that are due')
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] })
    // First of all: without a free descriptor the error comes, and there are no pipes.
    const exit = new Promise<number | string>((resolve) => {
      child.once('error', (error) => resolve(error.message))
      child.once('close', (code, signal) => resolve(code ?? signal ?? 'no exit code'))
    })
    let output = ''
    let code: number | string
    try {
      if (child.pid !== undefined) {
        this.#child = child
        lowerPriority(child.pid)
      }
      // The types promise a pipe; a failed spawn has none.
      const stdout: Readable | null | undefined = child.stdout
      stdout?.setEncoding('utf8').on('data', (text: string) => {
        if (output.length < OUTPUT_CHARS_MAX) output += text
      })
      code = await exit
    } finally {
      this.#child = undefined
    }
    await this.look()
    this.#tell(code, output)
  }

  /** One line a list that failed, one line for the whole. */
  #tell(code: number | string, output: string): void {
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

function lowerPriority(pid: number): void {
  try {
    setPriority(pid, constants.priority.PRIORITY_LOW)
  } catch {
    // It may have ended already.
  }
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
