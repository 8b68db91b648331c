/** `niveau3 top`: what the server does at this moment, drawn anew every second. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Command } from 'commander'
import { EXIT, OperationalError } from '../../base/errors.ts'
import { SECOND_MS } from '../../base/units.ts'
import { Counts } from '../observe/counts.ts'
import { parseDuration } from '../overrule/duration.ts'
import type { AdminClient } from './admin-client.ts'
import { finish, printJson, type Cli } from './cli.ts'
import { Interruption } from './interruption.ts'
import { look } from './observing.ts'
import { Screen } from './screen.ts'
import { addServerOptions, findServer, type ServerOptions } from './server-options.ts'
import { fittingLines, topLines } from './top-screen.ts'
import { SlowZones, viewOf, type TopView } from './top-view.ts'

const LOOK_MS = SECOND_MS
/** Rates are over so long at most: at a small site a second is too short to see blocks in it. */
const WINDOW_MS = 60 * SECOND_MS
/** Of `--once --slow` without `--for`. */
const ONCE_SLOW_SPAN = '10s'

interface Options extends ServerOptions {
  readonly once?: boolean
  readonly slow?: boolean
  readonly site?: string
  readonly for?: string
  readonly reason?: string
}

/** Adds the command. */
export function addTop(program: Command, cli: Cli): void {
  const command = program
    .command('top')
    .description('show what is answered, blocked, asked upstream and slow, every second; q ends')
    .option('--once', 'one look of a second, then end')
    .option('--site <site>', 'the counts and the slow questions of this site only')
    .option('--slow', 'slow questions too, by registrable domain; it stands in the audit log')
    .option('--for <span>', 'with --slow: how long to look at them: 90s, 10m, 1h at most')
    .option('--reason <text>', 'with --slow: why, for the audit log')
    .action((options: Options) => top(options, cli))
  addServerOptions(command)
  finish(command, [
    'niveau3 top',
    'niveau3 top --slow --reason "pages hang at lyon" --site lyon',
    'niveau3 top --once --json',
  ])
}

async function top(options: Options, cli: Cli): Promise<void> {
  requireReason(options)
  const { json = false, once = false } = options
  const { terminal } = cli
  const server = findServer(options, cli)
  const interruption = new Interruption()
  let hasQuit = false
  const keys = {
    onQuit: () => {
      hasQuit = true
      interruption.interrupt()
    },
    onInterrupt: () => interruption.interrupt(),
  }
  const isDrawn = terminal.isScreen && !once && !json
  const screen = isDrawn ? new Screen(terminal, keys) : undefined
  const looks = new Looks(server, options, interruption.signal)
  try {
    await looks.start()
    screen?.enter()
    for (;;) {
      const view = await looks.next()
      if (screen !== undefined) screen.draw((rows) => fittingLines(view, terminal, rows))
      else if (once && json) printJson(terminal, 'top', view)
      else if (json) terminal.out(`${JSON.stringify({ schema: 'niveau3.top/1', ...view })}\n`)
      else terminal.out(`${topLines(view, terminal).join('\n')}\n${once ? '' : '\n'}`)
      if (once) break
    }
  } catch (error) {
    if (!interruption.signal.aborted) throw error
    if (!hasQuit) cli.endWith(EXIT.interrupted)
  } finally {
    screen?.leave()
    // A look at slow questions ends with the command.
    interruption.interrupt()
    interruption.end()
  }
}

function requireReason({ for: span, reason, slow = false }: Options): void {
  if (slow && reason === undefined) {
    const why = '--slow shows domains that were asked for: say why with --reason TEXT'
    throw new OperationalError('ERR_USAGE', `${why}; it stands in the audit log`)
  }
  if (!slow && (reason !== undefined || span !== undefined)) {
    throw new OperationalError('ERR_USAGE', '--reason and --for are for --slow')
  }
}

/** Looks at one server, each a second after the one before. */
class Looks {
  readonly #server: AdminClient
  readonly #options: Options
  readonly #signal: AbortSignal
  readonly #counts: Counts[] = []
  readonly #zones: SlowZones | null
  #failure: unknown

  constructor(server: AdminClient, options: Options, signal: AbortSignal) {
    this.#server = server
    this.#options = options
    this.#signal = signal
    this.#zones = options.slow === true ? new SlowZones() : null
  }

  /** Takes the first look, and begins to look at slow questions where they are wanted. */
  async start(): Promise<void> {
    this.#counts.push(await this.#count())
    const zones = this.#zones
    const { once = false, reason = '', site } = this.#options
    if (zones === null) return
    const span = this.#options.for ?? (once ? ONCE_SLOW_SPAN : undefined)
    const started = new Promise<void>((resolve) => {
      const wish = { kind: 'slow' as const, span, site, reason }
      const take = (event: Parameters<SlowZones['take']>[0]): void => {
        zones.take(event)
        resolve()
      }
      void look(this.#server, wish, this.#signal, take)
        .then(() => (zones.ended = true))
        .catch((error: unknown) => (this.#failure = error))
        .finally(resolve)
    })
    await started
    if (this.#failure !== undefined) throw this.#failure
  }

  /** Takes the next look, and returns what there is to see. */
  async next(): Promise<TopView> {
    const { once = false, slow = false } = this.#options
    const waitMs = once && slow ? parseDuration(this.#options.for ?? ONCE_SLOW_SPAN) * SECOND_MS : 0
    await sleep(Math.max(waitMs, LOOK_MS), undefined, { signal: this.#signal })
    if (this.#failure !== undefined) throw this.#failure
    const counts = this.#counts
    const last = await this.#count()
    // Another server, or one that was started anew, counts from nothing.
    if (counts.at(-1)?.pid !== last.pid) counts.splice(0)
    counts.push(last)
    while (counts.length > 2 && counts[1]!.atMs <= last.atMs - WINDOW_MS) counts.shift()
    return viewOf(counts[0] ?? last, last, this.#zones?.view ?? null)
  }

  async #count(): Promise<Counts> {
    const counts = await this.#server.ask('/v1/counts', Counts, { signal: this.#signal })
    const { site } = this.#options
    if (site === undefined) return counts
    const sites = counts.sites.filter((row) => row.site === site)
    if (sites.length > 0) return { ...counts, sites }
    const known = counts.sites.map((row) => row.site).join(', ')
    throw new OperationalError('ERR_USAGE', `there is no site "${site}"; there are: ${known}`)
  }
}
