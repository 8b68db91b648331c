/**
 * The server asks itself whether it filters: through its own port, as clients do. A filter can be
 * loaded, ready and green, and still not stand between a client and the name that it asks for.
 */
import type { Logger } from 'pino'
import { SECOND_MS } from '../../base/units.ts'
import type { OverlayMessage } from '../../dataplane/policy/overlay.ts'
import type { ListenSettings } from '../../dataplane/settings.ts'
import type { LoadedConfig } from '../config/load.ts'
import type { LoadedFilter } from '../filter.ts'
import type { Verdict } from './ask-one.ts'
import { NO_PROBE, type ProbeFacts } from './probe-facts.ts'
import { planOf, sentinelsOf, wayTo, type ProbeWay, type Sentinels } from './probe-plan.ts'
import { NO_ANSWERS, runProbe, type GroupResult } from './probe-run.ts'

/** The first run comes sooner: a start is when most breaks. */
const FIRST_MS_MAX = 10 * SECOND_MS

/** The server as its probe sees it; each call tells the state of that moment. */
export interface ProbedServer {
  readonly log: Logger
  config(): LoadedConfig
  filter(): LoadedFilter
  overlay(): OverlayMessage
  endpoints(): readonly ListenSettings[]
}

/** One server's probe, from `start` to `stop`. */
export class EffectivenessProbe {
  readonly #server: ProbedServer
  readonly #ending = new AbortController()
  readonly #answers = new Map<string, Record<Verdict, number>>()
  #facts: ProbeFacts = NO_PROBE
  #timer: NodeJS.Timeout | undefined
  #intervalMs = 0
  #turn = 0
  #whyNot = ''
  #known: { filter: LoadedFilter; config: LoadedConfig; sentinels: Sentinels } | undefined

  constructor(server: ProbedServer) {
    this.#server = server
  }

  get facts(): ProbeFacts {
    return this.#facts
  }

  /** @param intervalMs above 0. */
  start(intervalMs: number): void {
    this.#intervalMs = intervalMs
    this.#schedule(Math.min(FIRST_MS_MAX, intervalMs))
  }

  stop(): void {
    clearTimeout(this.#timer)
    this.#ending.abort()
  }

  #schedule(waitMs: number): void {
    if (this.#ending.signal.aborted) return
    this.#timer = setTimeout(() => void this.#next(), waitMs)
    this.#timer.unref()
  }

  async #next(): Promise<void> {
    try {
      await this.run()
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error)
      this.#server.log.error({ event: 'probe_not_run' }, `the probe could not run: ${why}`)
    }
    this.#schedule(this.#intervalMs)
  }

  /** One run; the next listener is asked each time. */
  async run(): Promise<void> {
    const config = this.#server.config()
    const way = this.#way(config)
    if (way === undefined) return
    const { signal } = this.#ending
    const sentinels = await this.#sentinels(config)
    const overlay = this.#server.overlay()
    const plan = planOf(sentinels, config, way.site, overlay, this.#turn++)
    const { groups, seconds } = await runProbe(plan, { server: way.server, from: way.from, signal })
    if (signal.aborted) return
    this.#take(groups, seconds)
  }

  #way(config: LoadedConfig): ProbeWay | undefined {
    const listeners = this.#server.endpoints().filter(({ protocol }) => protocol === 'dns')
    const ways = listeners.flatMap((listener) => wayTo(listener, config) ?? [])
    if (ways.length > 0) return ways[this.#turn % ways.length]
    const why =
      listeners.length === 0
        ? 'every listener is encrypted'
        : 'neither 127.0.0.1 or ::1 nor a listen address is in allowFrom'
    if (why !== this.#whyNot) {
      const text = `the server cannot ask itself whether it filters: ${why}`
      this.#server.log.warn({ event: 'probe_not_run', why }, text)
    }
    this.#whyNot = why
    return undefined
  }

  async #sentinels(config: LoadedConfig): Promise<Sentinels> {
    const filter = this.#server.filter()
    const known = this.#known
    if (known?.filter === filter && known.config === config) return known.sentinels
    const sentinels = await sentinelsOf(filter, config)
    this.#known = { filter, config, sentinels }
    return sentinels
  }

  #take(groups: readonly GroupResult[], runSeconds: number): void {
    for (const group of groups) this.#takeGroup(group)
    this.#facts = {
      success: new Map(groups.map(({ category, ok }) => [category, ok])),
      answers: this.#answers,
      ranAtSeconds: Math.floor(Date.now() / SECOND_MS),
      runSeconds,
    }
    this.#server.log.debug({ event: 'probe_run', run: this.#turn }, 'the server asked itself')
  }

  #takeGroup({ answers, category, ok }: GroupResult): void {
    const sums = this.#answers.get(category) ?? { ...NO_ANSWERS }
    sums.blocked += answers.blocked
    sums.open += answers.open
    sums.failed += answers.failed
    sums.silent += answers.silent
    this.#answers.set(category, sums)
    const before = this.#facts.success.get(category) ?? true
    if (ok === before) return
    const facts = { category, ...answers }
    const { log } = this.#server
    if (ok) log.info({ event: 'probe_ok', ...facts }, `${category}: answered as it must be again`)
    else {
      const text = `${category}: the server does not answer as it must; niveau3 probe shows the names`
      log.error({ event: 'probe_failed', ...facts }, text)
    }
  }
}
