/** Who may look, for how long, and what is written down of it: without a server. */
import { readFile, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { Observation } from '../../src/controlplane/observe/observation.ts'
import { ObserveWish, type ObserveEvent } from '../../src/controlplane/observe/requests.ts'
import { ObservedSlots } from '../../src/controlplane/threads/observed-slots.ts'
import type { Call } from '../../src/controlplane/admin/route.ts'
import type { ToWorker } from '../../src/dataplane/messages.ts'
import { ObservedRing, RECORD, RECORD_OCTETS } from '../../src/dataplane/observed-ring.ts'

const HOUR_MS = 3_600_000
const CALLER = { uid: 1, gid: 1, pid: 1, user: 'anna', by: 'socket' as const }

let folder = ''
let slots: ObservedSlots
let told: ToWorker[] = []
const settings = { observeSecondsMax: 3600, stateDirectory: '' as string | undefined }

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'niveau3-observe-'))
  Object.assign(settings, { observeSecondsMax: 3600, stateDirectory: folder })
  told = []
  slots = new ObservedSlots(async (messageFor) => told.push(messageFor(0), messageFor(1)))
})
afterEach(async () => {
  vi.useRealTimers()
  await rm(folder, { recursive: true, force: true })
})

function observation(): Observation {
  return new Observation('blocked', server(), pino({ level: 'silent' }))
}

function server() {
  return {
    workers: slots,
    settings: () => settings,
    known: () => ({ categories: ['vpn'], sites: ['default', 'lyon'] }),
  }
}

interface Looking {
  readonly events: ObserveEvent[]
  readonly end: Promise<unknown>
  readonly leave: () => void
}

/** Begins a look; `reads` says whether the caller takes what it is told. */
function begin(all: Observation, wish: object, reads: () => boolean = () => true): Looking {
  const events: ObserveEvent[] = []
  const controller = new AbortController()
  const call: Call<ObserveWish> = {
    body: ObserveWish.parse({ reason: 'a test', ...wish }),
    caller: CALLER,
    signal: controller.signal,
    progress: (event) => reads() && events.push(event as ObserveEvent) > 0,
  }
  const end = all.show(call).catch((error: unknown) => error)
  return { events, end, leave: () => controller.abort(new Error('gone')) }
}

function started({ events }: Looking) {
  return vi.waitFor(() => expect(events[0]?.event).toBe('started'))
}

function write(slot: number, count: number): void {
  const ring = new ObservedRing(slots.observedRings('blocked').get(slot)!)
  const record = Buffer.alloc(RECORD_OCTETS)
  record[RECORD.nameOctets] = 1
  for (let i = 0; i < count; i++) ring.write(record)
}

async function auditLines(): Promise<Record<string, unknown>[]> {
  const text = await readFile(join(folder, 'audit.ndjson'), 'utf8')
  return text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>)
}

test('an hour after the first look all are over, whoever came later, and a clock set back', async () => {
  vi.useFakeTimers({ toFake: ['performance', 'setInterval', 'clearInterval', 'Date'] })
  const all = observation()
  const first = begin(all, { seconds: 3600 })
  await started(first)
  vi.advanceTimersByTime(HOUR_MS - 60_000)
  const later = begin(all, { seconds: 1800 })
  await started(later)
  expect(later.events[0]).toMatchObject({ observers: 2, seconds: 60 })
  vi.setSystemTime(Date.now() - 24 * HOUR_MS)
  vi.advanceTimersByTime(59_000)
  expect(all.observers).toHaveLength(2)
  vi.advanceTimersByTime(1200)
  expect(await first.end).toEqual({ shown: 0, missed: 0 })
  expect(await later.end).toEqual({ shown: 0, missed: 0 })
  expect(all.observers).toEqual([])
  expect(slots.observedRings('blocked').size).toBe(0)
})

test('the rings are overwritten with zeros when the last command leaves, not before', async () => {
  const all = observation()
  const [one, two] = [begin(all, { seconds: 60 }), begin(all, { seconds: 60 })]
  await Promise.all([started(one), started(two)])
  write(1, 5)
  const ring = slots.observedRings('blocked').get(1)!
  one.leave()
  await one.end
  expect(new Uint8Array(ring).some((octet) => octet !== 0)).toBe(true)
  two.leave()
  await two.end
  expect(new Uint8Array(ring).every((octet) => octet === 0)).toBe(true)
  expect(told.map(({ kind }) => kind)).toEqual(['observe', 'observe', 'observe-end', 'observe-end'])
  const lines = await auditLines()
  expect(lines.map(({ what, endedBy }) => [what, endedBy])).toEqual([
    ['observe', undefined],
    ['observe', undefined],
    ['observe-end', 'caller'],
    ['observe-end', 'caller'],
  ])
  expect(lines[0]).toMatchObject({ user: 'anna', reason: 'a test', seconds: 60, kind: 'blocked' })
})

test('what comes faster than it can be read is counted, for each who looks', async () => {
  const all = observation()
  let isReading = true
  const quick = begin(all, { seconds: 60 })
  const slow = begin(all, { seconds: 60 }, () => isReading)
  await Promise.all([started(quick), started(slow)])
  write(0, 1024 + 7)
  write(1, 3)
  await vi.waitFor(() => expect(quick.events).toHaveLength(1 + 1024 + 3 + 1))
  expect(quick.events.at(-1)).toEqual({ event: 'missed', count: 7 })
  isReading = false
  write(0, 5)
  await vi.waitFor(() =>
    expect(quick.events.filter((e) => e.event === 'question')).toHaveLength(1032),
  )
  isReading = true
  await vi.waitFor(() => expect(slow.events.at(-1)).toEqual({ event: 'missed', count: 5 }))
  for (const look of [quick, slow]) {
    look.leave()
    await look.end
  }
  const ends = (await auditLines()).slice(-2)
  expect(ends).toMatchObject([
    { shown: 1032, missed: 7 },
    { shown: 1027, missed: 12 },
  ])
})

test('a worker that comes for one that died notes into a ring of its own', async () => {
  const all = observation()
  const look = begin(all, { seconds: 60 })
  await started(look)
  write(0, 2)
  await vi.waitFor(() => expect(look.events).toHaveLength(3))
  const before = slots.observedRings('blocked').get(0)!
  const starts = slots.startsOf(0)
  expect(starts).toMatchObject([{ kind: 'blocked' }])
  expect(starts[0]!.remainingMs).toBeGreaterThan(HOUR_MS - 60_000)
  expect(new Uint8Array(before).every((octet) => octet === 0)).toBe(true)
  write(0, 1)
  await vi.waitFor(() => expect(look.events).toHaveLength(4))
  look.leave()
  await look.end
  expect(slots.startsOf(0)).toEqual([])
})

test.each([
  [{ seconds: 3601 }, {}, 'ERR_USAGE', /1h at most \(admin\.observeSecondsMax\)/],
  [{ seconds: 61 }, { observeSecondsMax: 60 }, 'ERR_USAGE', /1m at most/],
  [{}, { observeSecondsMax: 0 }, 'ERR_OBSERVE', /forbids to look/],
  [{ site: 'nice' }, {}, 'ERR_USAGE', /no site "nice"; there are: default, lyon/],
  [{ category: 'x' }, {}, 'ERR_USAGE', /there are: vpn, denied, private-address/],
  [{}, { stateDirectory: undefined }, 'ERR_NO_STATE', /audit log/],
  [{}, { stateDirectory: '/dev/null/x' }, 'ERR_WRITE', /audit\.ndjson/],
])('%o under %o is refused, and nothing is noted', async (wish, given, code, message) => {
  Object.assign(settings, given)
  const error = await begin(observation(), wish).end
  expect(error).toMatchObject({ code, message: expect.stringMatching(message) as string })
  expect(told).toEqual([])
})

test('a configuration that forbids it ends who looks already', async () => {
  const look = begin(observation(), { seconds: 60 })
  await started(look)
  settings.observeSecondsMax = 0
  expect(await look.end).toMatchObject({ code: 'ERR_OBSERVE' })
  expect((await auditLines()).at(-1)).toMatchObject({ endedBy: 'configuration' })
})

test('the ninth command that looks is refused', async () => {
  const all = observation()
  const looks = Array.from({ length: 8 }, () => begin(all, { seconds: 60 }))
  await Promise.all(looks.map(started))
  expect(await begin(all, {}).end).toMatchObject({ code: 'ERR_OBSERVE' })
  for (const look of looks) {
    look.leave()
    await look.end
  }
})
