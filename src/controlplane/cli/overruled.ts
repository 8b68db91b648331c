/** What of a verdict is an operator's doing: the rule or the pause, and what would change it. */

import { pino } from 'pino'
import { SITE_DEFAULT, SITE_DEFAULT_NAME } from '../../dataplane/client.ts'
import { NO_OVERLAY, type OverlayMessage } from '../../dataplane/policy/overlay.ts'
import { nameToText } from '../blocklist/name-text.ts'
import type { LoadedConfig } from '../config/load.ts'
import type { ShownEntry } from '../overrule/requests.ts'
import { endText, momentText } from '../overrule/duration.ts'
import { printable } from './terminal.ts'
import type { Verdict } from './verdict.ts'

/** Rules and pauses of the state directory, as a server there obeys them. */
export interface Overruled {
  readonly overlay: OverlayMessage
  readonly rules: readonly ShownEntry[]
  readonly pauses: readonly ShownEntry[]
}

const NOTHING: Overruled = { overlay: NO_OVERLAY, rules: [], pauses: [] }

/**
 * Reads them; none without a state directory.
 *
 * @throws OperationalError ERR_STATE, ERR_PERMISSION.
 */
export async function loadOverruled({ control, dataplane }: LoadedConfig): Promise<Overruled> {
  const { stateDirectory, pauseSecondsMax } = control
  if (stateDirectory === undefined) return NOTHING
  const { OverruleStore } = await import('../overrule/overrule-store.ts')
  const store = await OverruleStore.open({
    stateDirectory,
    log: pino({ level: 'silent' }),
    pauseSecondsMax: () => pauseSecondsMax,
  })
  const entries = store.inForce().map((entry) => store.shown(entry))
  const sites = new Set([SITE_DEFAULT_NAME, ...dataplane.sites.map(({ name }) => name)])
  const known = entries.filter(({ site }) => site === null || sites.has(site))
  return {
    overlay: store.overlay,
    rules: known.filter(({ what }) => what !== 'pause'),
    pauses: known.filter(({ what }) => what === 'pause'),
  }
}

/** Returns the name of a site by its number, as rules have it. */
export function siteNameOf({ dataplane }: LoadedConfig, site: number): string {
  if (site === SITE_DEFAULT) return SITE_DEFAULT_NAME
  return dataplane.sites[site - 1]?.name ?? SITE_DEFAULT_NAME
}

function weight(rule: ShownEntry): number {
  return 4 * (rule.name?.length ?? 0) + (rule.exact ? 2 : 0) + (rule.site === null ? 0 : 1)
}

/** The most specific rule for a name at a site: the longest name, then exact, then of the site. */
function ruleFor({ rules }: Overruled, wire: Uint8Array, site: string): ShownEntry | undefined {
  const name = nameToText(wire)
  return rules
    .filter(
      (rule) =>
        (rule.site === null || rule.site === site) &&
        (rule.name === name || (!rule.exact && name.endsWith(`.${rule.name}`))),
    )
    .toSorted((a, b) => weight(b) - weight(a))[0]
}

/** The pause that lets a category pass at a site: the one that ends last. */
function pauseFor({ pauses }: Overruled, category: string, site: string): ShownEntry | undefined {
  return pauses
    .filter(
      (pause) =>
        (pause.site === null || pause.site === site) &&
        (pause.category === null || pause.category === category),
    )
    .toSorted((a, b) => Date.parse(b.until ?? '') - Date.parse(a.until ?? ''))[0]
}

/** What an operator did to a verdict. */
export interface OperatorDoing {
  readonly reason: 'operator' | 'paused'
  readonly why: string
  readonly entry: ShownEntry
}

/** Returns the rule or the pause that decided; undefined where the lists or the code did. */
export function operatorDoing(
  verdict: Verdict,
  name: Uint8Array,
  site: string,
  overruled: Overruled,
): OperatorDoing | undefined {
  const rule = ruleFor(overruled, name, site)
  if (verdict.kind === 'blocked') {
    if (rule?.what !== 'deny' || rule.category !== verdict.category) return undefined
    const why = `denied by an operator, category ${verdict.category}`
    return { reason: 'operator', why, entry: rule }
  }
  if (verdict.kind === 'local') return undefined
  if (rule?.what === 'allow') {
    const why = 'allowed by an operator, whatever the lists say'
    return { reason: 'operator', why, entry: rule }
  }
  if (verdict.essential !== undefined) return undefined
  const denied = rule?.category ?? null
  for (const category of [...verdict.categories, ...(denied === null ? [] : [denied])]) {
    const entry = pauseFor(overruled, category, site)
    if (entry !== undefined)
      return { reason: 'paused', why: `category ${category} is paused`, entry }
  }
  return undefined
}

/** One line about a rule or a pause: what, who, since when, until when, why. */
export function operatorText(entry: ShownEntry): string {
  const { what, name, exact, site, category, since, until, user, reason } = entry
  const covers =
    what === 'pause' ? (category ?? 'all blocks') : exact ? name : `${name} and all below`
  const where = site === null ? '' : ` at ${site}`
  const end = until === null ? '' : ` until ${endText(until)}`
  const start = momentText(Date.parse(since))
  return `${what} ${covers}${where}, by ${user} since ${start}${end}: ${printable(reason)}`
}

/** The command that takes it back. */
export function undoCommand({ what, id, category, site }: ShownEntry): string {
  if (what !== 'pause') return `niveau3 rules rm ${id}`
  const flags = [
    ...(category === null ? [] : ['--category', category]),
    ...(site === null ? [] : ['--site', site]),
  ]
  return ['niveau3 resume', ...flags].join(' ')
}
