/** Rules and pauses of several boxes through a real Redis. */
import { EventEmitter, once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import { SealedValues } from '../../src/controlplane/fleet/sealed-values.ts'
import { SharedRules } from '../../src/controlplane/fleet/shared-rules.ts'
import { currentActor } from '../../src/controlplane/generations/audit.ts'
import { EssentialNames } from '../../src/controlplane/blocklist/essential.ts'
import { OverruleKeeper } from '../../src/controlplane/overrule/overrule-keeper.ts'
import { createId, createKey, SharedKeys } from '../../src/dataplane/cache/shared-keys.ts'
import { eventually, redisSettings, startRedis, type RedisServer } from '../support/redis.ts'

vi.setConfig({ testTimeout: 120_000 })
const ME = currentActor('command')
const SILENT = pino({ level: 'silent' })

interface Box {
  readonly folder: string
  readonly keeper: OverruleKeeper
  readonly rules: SharedRules
}

let redis: RedisServer
const boxes: Box[] = []
beforeAll(async () => {
  redis = await startRedis()
})
beforeEach(() => redis.cli('flushall'))
afterEach(async () => {
  vi.restoreAllMocks()
  for (const { folder, keeper, rules } of boxes.splice(0)) {
    rules.stop()
    await keeper.store.close()
    await rm(folder, { recursive: true, force: true })
  }
})

async function startBox(known?: string): Promise<Box> {
  const folder = known ?? (await mkdtemp(join(tmpdir(), 'niveau3-rules-')))
  const keeper = await OverruleKeeper.open({
    stateDirectory: folder,
    log: SILENT,
    pauseSecondsMax: () => 3600,
    facts: () => ({ essential: EssentialNames.of([]), categories: ['adult', 'vpn'], sites: [] }),
  })
  const box = { folder, keeper, rules: new SharedRules(redisSettings(redis), keeper.store, SILENT) }
  boxes.push(box)
  return box
}

const rule = { exact: false, site: null, category: null, untilMs: null, force: false }
const allow = (box: Box, name: string) =>
  box.keeper.add({ ...rule, action: 'allow', names: [name], reason: 'a test' }, ME)
const names = ({ keeper }: Box) => keeper.list().rules.map(({ name }) => name)
const has = (box: Box, ...wanted: readonly string[]) =>
  eventually(`the rules are ${wanted.join()}`, () =>
    Promise.resolve(names(box).join() === wanted.join()),
  )

test('what one box allows, removes or pauses holds on all, and nobody reads it in Redis', async () => {
  const [a, b] = [await startBox(), await startBox()]
  await allow(a, 'shop.example')
  await has(b, 'shop.example')
  await b.keeper.pause({ seconds: 600, category: 'adult', site: null, reason: 'a film' }, ME)
  await eventually('the pause is known', () => Promise.resolve(a.keeper.list().pauses.length === 1))
  await b.keeper.remove({ targets: ['shop.example'] }, ME)
  await has(a)
  await a.keeper.resume({ category: 'adult' }, ME)
  await eventually('the pause is over', () => Promise.resolve(b.keeper.list().pauses.length === 0))
  await eventually('it is counted', () => Promise.resolve(b.rules.counts.merged >= 2))
  const audit = await readFile(join(b.folder, 'audit.ndjson'), 'utf8')
  expect(audit).toMatch(/"user":"fleet".*"by":"fleet".*"what":"rules-merge"/)
  for (const key of (await redis.cli('keys', '*')).split('\n')) {
    expect(key).toMatch(/^niveau3:\{[0-9a-f]{2}\}[0-9a-f]{30}$/)
    expect(await redis.cli('get', key)).not.toContain('shop')
  }
})

test('a box that was away brings its own and takes what the others have done', async () => {
  const a = await startBox()
  await allow(a, 'one.example')
  const first = await startBox()
  await has(first, 'one.example')
  first.rules.stop()
  await allow(first, 'two.example')
  await first.keeper.store.close()
  await a.keeper.remove({ targets: ['one.example'] }, ME)
  const again = await startBox(first.folder)
  await has(again, 'two.example')
  await has(a, 'two.example')
})

test('Redis may lose everything, or bring back the old: nothing comes back that was removed', async () => {
  const [a, b] = [await startBox(), await startBox()]
  await allow(a, 'one.example')
  await has(b, 'one.example')
  const keys = (await redis.cli('keys', '*')).split('\n')
  const old = await Promise.all(keys.map((key) => redis.cli('dump', key).then(() => key)))
  for (const key of old) await redis.cli('copy', key, `old:${key}`)
  await a.keeper.remove({ targets: ['one.example'] }, ME)
  await has(b)
  for (const key of old) await redis.cli('copy', `old:${key}`, key, 'replace')
  await eventually('the fleet has told what it knows again', () =>
    Promise.resolve(a.rules.counts.told + b.rules.counts.told >= 3),
  )
  expect([names(a), names(b)]).toEqual([[], []])
  await redis.cli('flushall')
  await allow(b, 'two.example')
  await has(a, 'two.example')
})

test('what nobody with our secret has sealed is counted, written over, and never obeyed', async () => {
  const a = await startBox()
  await allow(a, 'one.example')
  await eventually('it is told', () => Promise.resolve(a.rules.counts.told === 1))
  const { keyOfKeys, prefix } = redisSettings(redis)
  const keyed = new SharedKeys(keyOfKeys, prefix)
  for (const text of ['\u00ffrules', '\u00ffrules mark']) {
    await redis.cli('set', createKey(keyed, createId(keyed, text)), 'forged '.repeat(20))
  }
  await eventually('it is refused', () => Promise.resolve(a.rules.counts.refused.seal > 0))
  const b = await startBox()
  await has(b, 'one.example')
  expect(names(a)).toEqual(['one.example'])
})

test('two boxes that tell at once lose nothing, though the last mark is not of the last state', async () => {
  const [a, b] = [await startBox(), await startBox()]
  // oxlint-disable-next-line typescript/unbound-method -- called with the one it belongs to
  const write = SealedValues.prototype.write
  const [second, firstState, secondMark] = [gate(), gate(), gate()]
  const tellers: SealedValues[] = []
  const order: string[] = []
  vi.spyOn(SealedValues.prototype, 'write').mockImplementation(async function (
    this: SealedValues,
    text,
    octets,
    ttlMs,
  ) {
    if (order.length === 4) return write.call(this, text, octets, ttlMs)
    if (!tellers.includes(this)) tellers.push(this)
    const isFirst = tellers[0] === this
    if (!isFirst) second.open()
    await (isFirst ? (isMark(text) ? secondMark : second) : firstState).opened
    await write.call(this, text, octets, ttlMs)
    order.push(`${isFirst ? 'first' : 'second'} ${isMark(text) ? 'mark' : 'state'}`)
    if (isFirst) firstState.open()
    else if (isMark(text)) secondMark.open()
  })
  await Promise.all([allow(a, 'one.example'), allow(b, 'two.example')])
  await has(a, 'one.example', 'two.example')
  await has(b, 'one.example', 'two.example')
  expect(order).toEqual(['first state', 'second state', 'second mark', 'first mark'])
  const c = await startBox()
  await has(c, 'one.example', 'two.example')
})

test('a box that went away between state and mark is heard when it is back', async () => {
  const [a, b] = [await startBox(), await startBox()]
  await allow(b, 'one.example')
  await has(a, 'one.example')
  // oxlint-disable-next-line typescript/unbound-method -- called with the one it belongs to
  const write = SealedValues.prototype.write
  const cut = gate()
  vi.spyOn(SealedValues.prototype, 'write').mockImplementation(async function (
    this: SealedValues,
    text,
    octets,
    ttlMs,
  ) {
    if (!isMark(text)) return write.call(this, text, octets, ttlMs)
    cut.open()
    throw new Error('cut off')
  })
  await allow(a, 'two.example')
  await cut.opened
  a.rules.stop()
  await a.keeper.store.close()
  vi.restoreAllMocks()
  await startBox(a.folder)
  await has(b, 'one.example', 'two.example')
})

const isMark = (text: string): boolean => text.endsWith('mark')

function gate(): { readonly opened: Promise<void>; readonly open: () => void } {
  const opened = new EventEmitter()
  return {
    opened: once(opened, 'open').then(() => undefined),
    open: () => void opened.emit('open'),
  }
}
