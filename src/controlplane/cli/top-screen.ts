/** The screen of `niveau3 top`. Only ASCII; meaning never hangs on colour. */
import { groupDigits } from './filter-image.ts'
import { msText, percent, rateText } from './amounts.ts'
import { observerText } from './observing.ts'
import { printable, table, type Terminal } from './terminal.ts'
import type { SlowView, TopView } from './top-view.ts'

/** Lines of a part; one more says how many were left out. */
const PART_LINES_MAX = 8
/** Rates below are counted in hundredths: at a small site blocks are rare. */
const FINE_RATE = 1
const TIME_START = 11
const TIME_END = 19

/** Cells of rows. */
type Rows = readonly (readonly string[])[]

/** The screen within so many lines: each part gives up lines until all fit, down to one. */
export function fittingLines(
  view: TopView,
  terminal: Terminal,
  linesMax: number,
): readonly string[] {
  let lines: readonly string[] = []
  for (let partMax = PART_LINES_MAX; partMax > 0; partMax--) {
    lines = topLines(view, terminal, partMax)
    if (lines.length <= linesMax) break
  }
  return lines.slice(0, linesMax)
}

/** The screen as lines without their ends; a part has at most `partMax` lines. */
export function topLines(
  view: TopView,
  terminal: Terminal,
  partMax = PART_LINES_MAX,
): readonly string[] {
  const { paint } = terminal
  const part = (head: readonly string[], rows: Rows): readonly string[] => {
    const [first = '', ...rest] = tableLines(head, rows, partMax)
    return ['', paint('bold', first), ...rest]
  }
  const lines = [
    headLine(view, terminal),
    ...part(['Answers', 'per second', 'share'], outcomeRows(view)),
    ...part(['Blocked', 'per second', 'since the start'], blockedRows(view)),
    ...part(['Upstreams', 'state', 'asked/s', 'answers after', 'failures'], upstreamRows(view)),
    ...part(['Sites', 'queries/s', 'blocked/s', 'over rate/s'], siteRows(view)),
    ...slowLines(view.slow, paint, partMax),
  ]
  const observers = view.observers.map((observer) => paint('yellow', observerText(observer)))
  return observers.length > 0 ? [...lines, '', ...observers] : lines
}

function headLine(view: TopView, { paint }: Terminal): string {
  const { answersPerSecond, droppedPerSecond, inFlight, p50Ms, p99Ms, seconds } = view
  const dropped = `dropped ${fineRate(droppedPerSecond)}/s`
  return [
    `${paint('bold', 'niveau3 top')}  over ${Math.round(seconds)}s: ${fineRate(answersPerSecond)}/s`,
    `p50 ${msText(p50Ms)}`,
    `p99 ${msText(p99Ms)}`,
    droppedPerSecond > 0 ? paint('yellow', dropped) : dropped,
    `in flight ${inFlight}`,
  ].join('   ')
}

function outcomeRows({ outcomes }: TopView): Rows {
  return outcomes
    .filter(({ perSecond }) => perSecond > 0)
    .map(({ outcome, perSecond, share }) => [`  ${outcome}`, fineRate(perSecond), percent(share)])
}

function blockedRows({ blocked }: TopView): Rows {
  return blocked
    .filter(({ total }) => total > 0)
    .map(({ category, perSecond, total }) => [
      `  ${printable(category)}`,
      fineRate(perSecond),
      groupDigits(total),
    ])
}

function upstreamRows({ upstreams }: TopView): Rows {
  return upstreams.map(({ failures, queriesPerSecond, responseMs, up, upstream }) => {
    const faults = Object.entries(failures).map(([reason, count]) => `${reason} ${count}`)
    return [
      `  ${printable(upstream)}`,
      up ? 'up' : 'DOWN',
      fineRate(queriesPerSecond),
      msText(responseMs),
      faults.length === 0 ? 'none' : faults.join(', '),
    ]
  })
}

function siteRows({ sites }: TopView): Rows {
  return sites.map(({ blockedPerSecond, limitedPerSecond, queriesPerSecond, site }) => [
    `  ${printable(site)}`,
    ...[queriesPerSecond, blockedPerSecond, limitedPerSecond].map(fineRate),
  ])
}

function slowLines(
  slow: SlowView | null,
  paint: Terminal['paint'],
  partMax: number,
): readonly string[] {
  const title = paint('bold', 'Slow')
  if (slow === null) return ['', `${title}  nobody looks: niveau3 top --slow --reason TEXT`]
  const { ended, missed, thresholdMs, until, zones } = slow
  const end = until === null ? '' : ` until ${until.slice(TIME_START, TIME_END)} UTC`
  const state = ended ? 'the time is over' : `${thresholdMs} ms or more${end}`
  const lost = missed === 0 ? '' : `; ${missed} missed`
  const rows = zones.map(({ outcome, questions, rcode, worstMs, zone }) => [
    `  ${printable(zone)}`,
    groupDigits(questions),
    `worst ${msText(worstMs)}`,
    `last ${outcome} ${rcode}`,
  ])
  const shown = rows.length === 0 ? ['  none'] : tableLines([], rows, partMax)
  return ['', `${title}  ${state}${lost}`, ...shown]
}

/** A table of a head, which may be empty, and of rows; those that do not fit are counted. */
function tableLines(head: readonly string[], rows: Rows, partMax: number): readonly string[] {
  const all = [...(head.length > 0 ? [head] : []), ...rows.slice(0, partMax)]
  const more = rows.length - partMax
  const lines = table(all).trimEnd().split('\n')
  return more > 0 ? [...lines, `  and ${more} more`] : lines
}

function fineRate(perSecond: number): string {
  return perSecond > 0 && perSecond < FINE_RATE ? perSecond.toFixed(2) : rateText(perSecond)
}
