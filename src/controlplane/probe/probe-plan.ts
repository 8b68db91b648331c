/** Which names the probe asks of the filter in force, as the site that it asks from sees it. */
import { setImmediate } from 'node:timers/promises'
import type { OverlayMessage } from '../../dataplane/policy/overlay.ts'
import { Client, SITE_DEFAULT } from '../../dataplane/client.ts'
import { FAMILY_IPV4, PROTO_UDP } from '../../dataplane/counters.ts'
import type { Endpoint, ListenSettings } from '../../dataplane/settings.ts'
import { ClientAccess } from '../../dataplane/transport/client-access.ts'
import { SOCKADDR_IN6_OCTETS } from '../../sys/socket-address.ts'
import { storedNames } from '../../trie/stored-names.ts'
import { loadCatalogue } from '../blocklist/catalogue.ts'
import { controlNames } from '../blocklist/safety/control-names.ts'
import type { LoadedConfig } from '../config/load.ts'
import type { LoadedFilter } from '../filter.ts'
import type { ProbePlan } from './probe-run.ts'

/** Names of one group in one run; the next run takes the next ones. */
const NAMES_PER_RUN = 3
/** Names of an image that are looked at for some of each category: enough for any mixture. */
const STORED_NAMES_MAX = 20_000
const NAMES_OF_IMAGE = 6
/** Names between which others have their turn: looking at all takes a third of a second. */
const NAMES_PER_TURN = 50

/** Where to ask, from where, and as whom. */
export interface ProbeWay {
  readonly server: Endpoint
  readonly from: string
  readonly site: number
}

/** All names that may be asked, for one filter and configuration. */
export interface Sentinels {
  readonly blocked: ReadonlyMap<string, readonly Uint8Array[]>
  readonly essential: readonly Uint8Array[]
}

/** Collects the names; once per filter and configuration. */
export async function sentinelsOf(
  { essential, trie }: LoadedFilter,
  { control }: LoadedConfig,
): Promise<Sentinels> {
  const blocked = new Map<string, readonly Uint8Array[]>(await sampleNames({ essential, trie }))
  // What an operator has compiled need not hold what the catalogue promises.
  const promised = control.usesGenerations ? (await loadCatalogue()).categories : {}
  const wanted: [string, readonly string[]][] = [
    ...Object.entries(promised).map(([name, { mustBlock }]) => [name, mustBlock] as const),
    ...Object.entries(control.probe.mustBlock),
  ].map(([category, names]) => [category, names])
  for (const [category, names] of wanted) {
    const wires = controlNames(names, `probe.mustBlock.${category}`).map(({ wire }) => wire)
    blocked.set(
      category,
      wires.filter((wire) => essential.covers(wire) === undefined),
    )
  }
  return { blocked, essential: essential.names }
}

/** Some names of each category that the image itself holds. */
async function sampleNames({ essential, trie }: Pick<LoadedFilter, 'essential' | 'trie'>) {
  const samples = new Map<string, Uint8Array[]>(trie.categories.map((name) => [name, []]))
  let left = STORED_NAMES_MAX
  let wanting = samples.size
  for (const { name, self } of storedNames(trie)) {
    if (left-- === 0 || wanting === 0) break
    if (left % NAMES_PER_TURN === 0) await setImmediate()
    for (const [bit, category] of trie.categories.entries()) {
      const found = samples.get(category)!
      if ((self & (1 << bit)) === 0 || found.length === NAMES_OF_IMAGE) continue
      if (essential.covers(name) !== undefined) continue
      if (found.push(name.slice()) === NAMES_OF_IMAGE) wanting--
    }
  }
  return samples
}

/**
 * The names of one run: those that the site blocks, less what operators allow or pause at this
 * moment.
 */
export function planOf(
  { blocked, essential }: Sentinels,
  config: LoadedConfig,
  site: number,
  overlay: OverlayMessage,
  turn: number,
): ProbePlan {
  const plan = new Map<string, readonly Uint8Array[]>()
  for (const [category, names] of closedNames(blocked, config, site, overlay)) {
    plan.set(category, inTurn(names, turn))
  }
  return { blocked: plan, essential: inTurn(essential, turn) }
}

/** Of some names by category those that a site blocks at this moment, whatever operators said. */
export function closedNames(
  blocked: Sentinels['blocked'],
  { dataplane }: LoadedConfig,
  site: number,
  overlay: OverlayMessage,
): Map<string, readonly Uint8Array[]> {
  const settings = site === SITE_DEFAULT ? undefined : dataplane.sites[site - 1]
  const siteName = settings?.name ?? ''
  const holds = (place: { site: string; untilMs: number }): boolean =>
    (place.site === '' || place.site === siteName) && place.untilMs > Date.now()
  const pauses = overlay.pauses.filter(holds)
  const allowed = overlay.rules.filter((rule) => rule.action === 'allow' && holds(rule))
  const left = new Map<string, readonly Uint8Array[]>()
  for (const [category, names] of blocked) {
    const known = (settings ?? dataplane).categories.find(({ name }) => name === category)
    if (known?.blocked === false) continue
    if (pauses.some((pause) => pause.category === '' || pause.category === category)) continue
    const closed = names.filter((name) => !allowed.some((rule) => covers(rule, name)))
    if (closed.length > 0) left.set(category, closed)
  }
  return left
}

function inTurn(names: readonly Uint8Array[], turn: number): readonly Uint8Array[] {
  const count = Math.min(NAMES_PER_RUN, names.length)
  return Array.from({ length: count }, (_, index) => names[(turn * count + index) % names.length]!)
}

function covers(rule: { name: Uint8Array; exact: boolean }, name: Uint8Array): boolean {
  const start = name.length - rule.name.length
  if (rule.exact && start !== 0) return false
  let at = 0
  while (at < start) at += name[at]! + 1
  return at === start && Buffer.compare(name.subarray(at), rule.name) === 0
}

/**
 * Finds an address of this machine that may ask at a listener: loopback, which has no query rate,
 * else the listener's own; undefined where neither is admitted.
 */
export function wayTo(
  { address, port }: ListenSettings,
  { dataplane }: LoadedConfig,
): ProbeWay | undefined {
  const access = new ClientAccess(dataplane)
  const octets = new Uint8Array(SOCKADDR_IN6_OCTETS)
  const client = new Client(PROTO_UDP, FAMILY_IPV4)
  for (const from of [address.includes(':') ? '::1' : '127.0.0.1', address]) {
    if (!access.findText(from, octets, client)) continue
    return { server: { address, port }, from, site: client.site }
  }
  return undefined
}
