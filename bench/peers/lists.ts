/** Real names: the list that every server gets, and the queries that it is asked. */
import { readFileSync } from 'node:fs'
import { open, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { parse } from 'tldts'
import { draw, randomFrom } from './statistics.ts'
import type { QuerySet } from './workloads.ts'

export type ListKey = '117k' | '826k'

/** Files of the data folder that make each list. */
const SOURCES: Readonly<Record<ListKey, readonly string[]>> = {
  '117k': ['vpn/ut1-vpn.txt.gz', 'vpn/ut1-redirector.txt.gz', 'vpn/ut1-doh.txt'],
  '826k': ['adult/union-open.txt.gz'],
}

const POPULAR = 'allow/misp-cisco_top20k.json.gz'

/** Names that are cached in the mix: two thirds of its queries. */
const ALLOWED_COUNT = 10_000
/** Blocked names in the mix: one third of its queries. */
const BLOCKED_COUNT = 5000
/** Blocked names under which unique names are made. */
const PARENTS_COUNT = 50_000

/** How long each server is asked for new names before it is measured with others. */
export const WARM_UP_SECONDS = 3

/** Leaves room for a label in front and for the name of a policy zone behind (255 octets). */
const NAME_CHARACTERS_MAX = 220

/** Queries a second that no server reaches: unique names never run out. */
const UNIQUE_PER_SECOND: Readonly<Record<Exclude<QuerySet, 'mix'>, number>> = {
  'blocked-unique': 450_000,
  forwarded: 250_000,
}

/** Lines of a query file that are written at once. */
const LINES_PER_WRITE = 50_000

const NAME = /^(?:[a-z0-9_-]{1,63}\.)+[a-z0-9_-]{1,63}$/
const IPV4 = /^\d+\.\d+\.\d+\.\d+$/

/** Names by which browsers ask whether a network filters: a filter answers them by itself. */
const CANARIES = new Set(['use-application-dns.net', 'mask.icloud.com', 'mask-h2.icloud.com'])

/** One blocklist and the queries made for it. */
export interface BlockList {
  readonly key: ListKey
  readonly names: readonly string[]
  /** One name a line. */
  readonly file: string
  /** First, middle and last name of the list: all three blocked means that it is loaded. */
  readonly probes: readonly string[]
  /** Names of the mix that have to be blocked. */
  readonly blocked: readonly string[]
  /** Names of the mix that have to be answered. */
  readonly allowed: readonly string[]
  /** Query files for dnsperf. */
  readonly queries: Readonly<Record<QuerySet, string>>
  /** Other names of the same kind, to be asked before anything is measured. */
  readonly warmUps: Readonly<Record<Exclude<QuerySet, 'mix'>, string>>
  /** The mix for the open-loop client. */
  readonly checkedMix: string
}

function readText(path: string): string {
  const octets = readFileSync(path)
  return (path.endsWith('.gz') ? gunzipSync(octets) : octets).toString('utf8')
}

function readNames(path: string): string[] {
  const lines = readText(path).split('\n')
  return lines.map((line) => line.replace(/#.*/, '').trim().toLowerCase())
}

/** True when `names` holds the name or one above it. */
function isCovered(name: string, names: ReadonlySet<string>): boolean {
  for (let at = 0; at !== -1; at = name.indexOf('.', at)) {
    if (at !== 0) at++
    if (names.has(name.slice(at))) return true
  }
  return false
}

function isOrdinary(name: string): boolean {
  if (!NAME.test(name) || name.length > NAME_CHARACTERS_MAX || CANARIES.has(name)) return false
  // Resolvers answer below arpa by themselves (RFC 6303).
  if (name.endsWith('.arpa')) return false
  const { isIcann, domain } = parse(name, { validateHostname: false })
  return isIcann === true && domain !== null
}

/**
 * Makes a list and its query files. Names that no list may block (essential names, public
 * suffixes) stay in the list but are not asked for: servers differ there on purpose.
 */
export async function makeList(
  key: ListKey,
  data: string,
  folder: string,
  secondsMax: number,
): Promise<BlockList> {
  const found = SOURCES[key].flatMap((source) => readNames(join(data, source)))
  const usable = found.filter(
    (name) => NAME.test(name) && !IPV4.test(name) && name.length <= NAME_CHARACTERS_MAX,
  )
  const names = [...new Set(usable)].toSorted()
  const listed = new Set(names)
  const essential = new Set(readNames('blocklists/essential.txt').filter((name) => name !== ''))
  const random = randomFrom(names.length)
  const askable = names.filter((name) => isOrdinary(name) && !isCovered(name, essential))
  const popular = (JSON.parse(readText(join(data, POPULAR))) as { list: string[] }).list
  const answered = popular.filter((name) => isOrdinary(name) && !isCovered(name, listed))
  const allowed = draw(answered, ALLOWED_COUNT, random)
  const blocked = draw(askable, BLOCKED_COUNT, random)
  if (allowed.length < ALLOWED_COUNT || blocked.length < BLOCKED_COUNT) {
    throw new Error(`${data} holds too few names for the ${key} list`)
  }
  const file = join(folder, `${key}.txt`)
  await writeFile(file, `${names.join('\n')}\n`)
  const parents = draw(askable, PARENTS_COUNT, random)
  const unique = (set: Exclude<QuerySet, 'mix'>, below: readonly string[]): Promise<string> =>
    writeUnique(join(folder, `${key}.${set}`), below, countOf(set, secondsMax), 'n')
  const warmUp = (set: Exclude<QuerySet, 'mix'>, below: readonly string[]): Promise<string> =>
    writeUnique(join(folder, `${key}.${set}.warm`), below, countOf(set, WARM_UP_SECONDS), 'w')
  return {
    key,
    names,
    file,
    probes: probesOf(askable),
    blocked,
    allowed,
    queries: {
      mix: await writeMix(join(folder, `${key}.mix`), allowed, blocked, random, 'A'),
      'blocked-unique': await unique('blocked-unique', parents),
      forwarded: await unique('forwarded', allowed),
    },
    warmUps: {
      'blocked-unique': await warmUp('blocked-unique', parents),
      forwarded: await warmUp('forwarded', allowed),
    },
    checkedMix: await writeMix(join(folder, `${key}.checked`), allowed, blocked, random),
  }
}

/** Lines of a query file that no server reaches the end of. */
function countOf(set: Exclude<QuerySet, 'mix'>, seconds: number): number {
  return Math.ceil(UNIQUE_PER_SECOND[set] * seconds)
}

function probesOf(names: readonly string[]): string[] {
  const places = [0, names.length >> 1, names.length - 1]
  return places.map((at) => names[at]).filter((name) => name !== undefined)
}

/** Writes all names of the mix in random order, each with `suffix` or else with its verdict. */
async function writeMix(
  path: string,
  allowed: readonly string[],
  blocked: readonly string[],
  random: () => number,
  suffix?: string,
): Promise<string> {
  const lines = [
    ...allowed.map((name) => `${name} ${suffix ?? 'allowed'}\n`),
    ...blocked.map((name) => `${name} ${suffix ?? 'blocked'}\n`),
  ]
  await writeFile(path, draw(lines, lines.length, random).join(''))
  return path
}

/**
 * Writes `count` different names, each a label that looks random in front of a name of `below`.
 *
 * @param letter the first one of the labels: files with other letters have no name in common.
 */
async function writeUnique(
  path: string,
  below: readonly string[],
  count: number,
  letter: 'n' | 'w',
): Promise<string> {
  const file = await open(path, 'w')
  try {
    for (let first = 0; first < count; first += LINES_PER_WRITE) {
      const lines: string[] = []
      for (let index = first; index < Math.min(count, first + LINES_PER_WRITE); index++) {
        // Multiplying by an odd number is one to one modulo 2^32: no label comes twice.
        const label = (Math.imul(index, 0x9e3779b1) >>> 0).toString(36)
        lines.push(`${letter}${label}.${below[index % below.length] ?? ''} A\n`)
      }
      await file.write(lines.join(''))
    }
  } finally {
    await file.close()
  }
  return path
}
