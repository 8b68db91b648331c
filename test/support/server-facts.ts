/** Facts of a server for tests of the admin pages: nothing has happened yet. */
import type { ServerFacts } from '../../src/controlplane/admin/server-facts.ts'
import { NO_PROBE } from '../../src/controlplane/probe/probe-facts.ts'
import { ReloadRecord } from '../../src/controlplane/reload-record.ts'
import { createCounters } from '../../src/dataplane/counters.ts'

/** Returns the facts of a server without load, but for what is given. */
export function serverFacts(given: Partial<ServerFacts> = {}): ServerFacts {
  return {
    version: '1.2.3',
    slots: createCounters(),
    sites: ['default'],
    upstreams: ['udp://192.0.2.1:53'],
    workersAlive: 1,
    workerDeaths: 0,
    cacheOctetsMax: 1024,
    receiveDrops: () => 0,
    reloads: new ReloadRecord(),
    fleet: {
      sent: 0,
      received: 0,
      rules: {
        merged: 0,
        refused: { seal: 0, format: 0 },
        told: 0,
        lookedAtSeconds: 1_700_000_000,
      },
    },
    probe: NO_PROBE,
    probeIntervalSeconds: 60,
    pauses: [],
    certificateExpiresAtSeconds: undefined,
    filter: {
      categories: ['adult'],
      rules: [{ category: 'adult', rules: 7 }],
      lists: [listFacts('ut1-adult')],
      subscriptions: [subscribedFacts('ut1-adult')],
      isHeld: false,
      fleetImage: undefined,
      generation: 1,
      memoryOctets: 4096,
    },
    overrule: {
      rules: { allow: 0, deny: 0 },
      actions: { allow: 0, deny: 0, remove: 0, pause: 0, resume: 0 },
    },
    checks: [{ check: 'workers', ok: true, why: '' }],
    ...given,
  }
}

/** A list of the image in force. */
export function listFacts(list: string): ServerFacts['filter']['lists'][number] {
  const atSeconds = 1_795_000_000
  return {
    list,
    entries: 7,
    invalidLines: 0,
    succeededAtSeconds: atSeconds,
    attemptedAtSeconds: atSeconds,
  }
}

/** A subscribed list. */
export function subscribedFacts(list: string): ServerFacts['filter']['subscriptions'][number] {
  return { list, failures: 0, updates: { updated: 0, unchanged: 0, failed: 0, refused: 0 } }
}
