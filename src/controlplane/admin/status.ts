/** What `niveau3 status` shows: the state of the running server on one screen. */
import * as z from 'zod'
import { DAY_S, SECOND_MS } from '../../base/units.ts'
import { REDIS, UPSTREAM_UP } from '../../dataplane/counters.ts'
import {
  REDIS_BUCKETS,
  REDIS_BOUNDS_MS,
  REDIS_SUM_MS,
  REDIS_UP,
} from '../../dataplane/redis-counters.ts'
import { nextDueAtMs } from '../generations/schedule.ts'
import { ObserverFacts } from '../observe/requests.ts'
import type { AdministeredServer } from './administered-server.ts'
import type { TrafficWindow } from './traffic-window.ts'

/** A list whose last success is longer ago is stale: the alert has the same limit. */
const STALE_S = 3 * DAY_S

/** 0 to 1, of all answers. */
const share = z.number()
const milliseconds = z.number().nullable()

/** The answer of `GET /v1/status`. Times are ISO 8601 in UTC. */
export const Status = z.object({
  version: z.string(),
  node: z.string(),
  pid: z.number(),
  uptimeSeconds: z.number(),
  /** Readiness checks that do not hold; empty when all is well. */
  troubles: z.array(z.object({ check: z.string(), why: z.string() })),
  generation: z.number(),
  /** Since when it is in force here. */
  generationSince: z.string(),
  digest: z.string(),
  names: z.number(),
  traffic: z.object({
    /** How long the window is: five minutes, less after a start. */
    seconds: z.number(),
    answersPerSecond: z.number(),
    blockedShare: share,
    cachedShare: share,
    servfailShare: share,
    droppedShare: share,
    p50Ms: milliseconds,
    p99Ms: milliseconds,
  }),
  lists: z.object({
    ok: z.number(),
    /** Without a success for three days, or ever; these are no failed ones. */
    stale: z.array(z.object({ list: z.string(), ageSeconds: z.number().nullable() })),
    /** Whose last update failed or was refused, so often in a row. */
    failed: z.array(z.object({ list: z.string(), failures: z.number() })),
    /** Whether a rollback holds updates. */
    held: z.boolean(),
    /** Null where nothing is subscribed to, or updates are held or off. */
    nextUpdateAt: z.string().nullable(),
  }),
  upstreams: z.array(
    z.object({
      upstream: z.string(),
      up: z.boolean(),
      /** Mean time until a reply in the window; null without one. */
      responseMs: milliseconds,
    }),
  ),
  /** What is not blocked for a while, and until when; names are the operator's own. */
  pauses: z.array(
    z.object({ site: z.string().nullable(), category: z.string().nullable(), until: z.string() }),
  ),
  /** Rules of operators, how many of them end by themselves, and when the first does. */
  rules: z.object({ allow: z.number(), deny: z.number(), nextEnd: z.string().nullable() }),
  /** Who looks at questions in this moment, and until when. */
  observers: z.array(ObserverFacts),
  /** Null where none is configured; the mean is over the life of the server. */
  redis: z.object({ up: z.boolean(), responseMs: milliseconds }).nullable(),
  /** Resident memory of the whole process. */
  memoryOctets: z.number(),
  workersAlive: z.number(),
  lastReloadOk: z.boolean(),
})

export type Status = z.output<typeof Status>

/** Puts the status together. */
export async function statusOf(
  server: AdministeredServer,
  window: TrafficWindow,
  observers: readonly ObserverFacts[],
): Promise<Status> {
  const { checks, filter, reloads, slots, upstreams, version, workersAlive } = server.facts()
  const { trie, loadedAtSeconds } = server.filter()
  return {
    version,
    node: process.versions.node,
    pid: process.pid,
    uptimeSeconds: Math.floor(process.uptime()),
    troubles: checks.flatMap(({ check, ok, why }) => (ok ? [] : [{ check, why }])),
    generation: filter.generation,
    generationSince: new Date(loadedAtSeconds * SECOND_MS).toISOString(),
    digest: trie.digest,
    names: trie.names,
    traffic: window.traffic(),
    lists: await listsOf(server),
    upstreams: upstreams.map((upstream, index) => ({
      upstream,
      up: slots[UPSTREAM_UP + index]! > 0,
      responseMs: window.upstreamMs(index),
    })),
    ...overruledOf(server),
    observers: [...observers],
    redis: server.config().control.redis === undefined ? null : redisOf(slots),
    memoryOctets: process.memoryUsage.rss(),
    workersAlive,
    lastReloadOk: reloads.isLastSuccessful,
  }
}

function overruledOf(server: AdministeredServer): Pick<Status, 'pauses' | 'rules'> {
  const { pauses, rules } = server.overrule()?.list() ?? { pauses: [], rules: [] }
  const ends = rules.flatMap(({ until }) => (until === null ? [] : [until])).toSorted()
  const count = (kind: 'allow' | 'deny'): number => rules.filter(({ what }) => what === kind).length
  return {
    pauses: pauses.map(({ category, site, until }) => ({ category, site, until: until ?? '' })),
    rules: { allow: count('allow'), deny: count('deny'), nextEnd: ends[0] ?? null },
  }
}

/** Subscribed lists by how they fare; without subscriptions those of the image are all well. */
async function listsOf(server: AdministeredServer): Promise<Status['lists']> {
  const keeper = server.keeper()
  const { stateDirectory, updates } = server.config().control
  const known = keeper?.facts ?? []
  const nowS = Date.now() / SECOND_MS
  const failed = known.filter(({ failures }) => failures > 0)
  const stale = known.flatMap(({ list, failures, succeededAtSeconds }) => {
    const ageSeconds =
      succeededAtSeconds === undefined ? null : Math.max(0, Math.floor(nowS - succeededAtSeconds))
    if (failures > 0 || (ageSeconds !== null && ageSeconds <= STALE_S)) return []
    return [{ list, ageSeconds }]
  })
  const count = known.length === 0 ? server.filter().trie.lists.length : known.length
  const held = keeper?.isHeld ?? false
  const isDue = known.length > 0 && updates.automatic && !held && stateDirectory !== undefined
  const dueMs = isDue
    ? await nextDueAtMs(stateDirectory, () => 0).catch(() => undefined)
    : undefined
  return {
    ok: count - failed.length - stale.length,
    stale,
    failed: failed.map(({ list, failures }) => ({ list, failures })),
    held,
    nextUpdateAt: dueMs === undefined ? null : new Date(dueMs).toISOString(),
  }
}

function redisOf(slots: Float64Array): NonNullable<Status['redis']> {
  let replies = 0
  for (let bucket = 0; bucket <= REDIS_BOUNDS_MS.length; bucket++) {
    replies += slots[REDIS + REDIS_BUCKETS + bucket]!
  }
  const responseMs = replies > 0 ? slots[REDIS + REDIS_SUM_MS]! / replies : null
  return { up: slots[REDIS + REDIS_UP]! > 0, responseMs }
}
