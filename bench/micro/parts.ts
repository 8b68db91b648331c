/** The parts of a query's way, each proved right before it is timed. */
import { randomBytes } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { decode } from 'dns-packet'
import { EssentialNames } from '../../src/controlplane/blocklist/essential.ts'
import { loadConfig } from '../../src/controlplane/config/load.ts'
import { policyOf } from '../../src/controlplane/filter.ts'
import { NO_OVERLAY } from '../../src/dataplane/policy/overlay.ts'
import { HotTable } from '../../src/dataplane/cache/hot-table.ts'
import { CacheEntry } from '../../src/dataplane/cache/cache-entry.ts'
import { createCache } from '../../src/dataplane/cache/memory-cache.ts'
import { Client } from '../../src/dataplane/client.ts'
import { FAMILY_IPV4, PROTO_UDP, createCounters } from '../../src/dataplane/counters.ts'
import { PENDING, Pipeline } from '../../src/dataplane/pipeline.ts'
import { AskedName, type ReplySink } from '../../src/dataplane/query.ts'
import { RecentNames, createRecentNames } from '../../src/dataplane/recent-names.ts'
import type { DataplaneSettings } from '../../src/dataplane/settings.ts'
import { EncryptedWays } from '../../src/dataplane/upstream/encrypted-ways.ts'
import { createPolicy } from '../../src/dataplane/worker.ts'
import { DatagramBatch } from '../../src/sys/datagram-batch.ts'
import { isLibc, openLibc, type Libc } from '../../src/sys/libc.ts'
import { boundPort, openBoundSocket, openConnectedSocket } from '../../src/sys/socket.ts'
import { Matcher } from '../../src/trie/lookup.ts'
import { openTrie, type Trie } from '../../src/trie/open.ts'
import { AnswerFacts, inspectAnswer } from '../../src/wire/answer.ts'
import { HEADER_OCTETS } from '../../src/wire/header.ts'
import { PARSE_OK, ParsedQuery, parseQuery } from '../../src/wire/query.ts'
import { SIPHASH_KEY_OCTETS } from '../../src/wire/siphash.ts'
import { SECOND_MS } from '../../src/base/units.ts'
import { answerTo, questionOf, type Question } from './questions.ts'

const NXDOMAIN = 'NXDOMAIN'
const BURST = 32
/** Of the names that are asked again and again: fewer than a recorder holds. */
const KNOWN_NAMES = 2000
const SLOT_OCTETS = 512
const REPLY_OCTETS = 0x10000 + 1024

/** One row: what is done `operations` times by one call of `run`. */
export interface Part {
  readonly name: string
  readonly operations: number
  readonly run: () => void
}

/** What the parts work on. */
export interface Corpus {
  readonly image: SharedArrayBuffer
  /** Names that the image blocks, and names that it does not. */
  readonly listed: readonly string[]
  readonly unlisted: readonly string[]
}

function expectThat(holds: boolean, what: string): void {
  if (!holds) throw new Error(`wrong before it was timed: ${what}`)
}

/** Calls `work` with every question. */
function over(
  name: string,
  questions: readonly Question[],
  work: (question: Question, index: number) => void,
): Part {
  const operations = questions.length
  const run = (): void => {
    for (let index = 0; index < operations; index++) work(questions[index]!, index)
  }
  return { name, operations, run }
}

/** Parsing, the key, and both look-ups in the compiled lists. */
export function wireParts(corpus: Corpus): Part[] {
  const trie = openTrie(corpus.image)
  const matcher = new Matcher(trie)
  const hits = corpus.listed.map(questionOf)
  const misses = corpus.unlisted.map(questionOf)
  const query = new ParsedQuery(new Uint8Array(REPLY_OCTETS))
  const asked = new AskedName()
  for (const [questions, isListed] of [
    [hits, true],
    [misses, false],
  ] as const) {
    for (const { message, octets, name } of questions) {
      expectThat(parseQuery(message, octets, query) === PARSE_OK, `parse ${name}`)
      asked.take(message, HEADER_OCTETS)
      expectThat((matcher.find(asked.octets, 0) !== 0) === isListed, `look-up of ${name}`)
    }
  }
  const names = { hits: hits.map(takenFrom), misses: misses.map(takenFrom) }
  const memory = createRecentNames(randomBytes(SIPHASH_KEY_OCTETS))
  const recent = new RecentNames(memory)
  for (const [second, name] of names.misses.slice(0, KNOWN_NAMES).entries()) {
    recent.note(name, second * SECOND_MS)
  }
  expectThat(memory.words[0]! > 0, 'note a name')
  return [
    over('parse a query', misses, ({ message, octets }) => parseQuery(message, octets, query)),
    over('take its name', misses, ({ message }) => asked.take(message, HEADER_OCTETS)),
    over('note a name that was asked before', misses.slice(0, KNOWN_NAMES), (_question, index) => {
      recent.note(names.misses[index]!, 0)
    }),
    over('make the cache key, as text', misses, (_question, index) => {
      expectThat(names.misses[index]!.key(query).text.length > 0, 'key')
    }),
    over('look up a name that is not listed', misses, (_question, index) => {
      matcher.find(names.misses[index]!.octets, 0)
    }),
    over('look up a listed name', hits, (_question, index) => {
      matcher.find(names.hits[index]!.octets, 0)
    }),
  ]
}

function takenFrom({ message }: Question): AskedName {
  const asked = new AskedName()
  asked.take(message, HEADER_OCTETS)
  return asked
}

/** A hit in the hot table, and one in the LRU. */
export function cacheParts(corpus: Corpus): Part[] {
  const questions = corpus.unlisted.map(questionOf)
  const hot = new HotTable()
  const cache = createCache({ cache: { octetsMax: 64 * 1024 * 1024 } }, createCounters(), hot)
  const nowMs = performance.now()
  const asked = questions.map(takenFrom)
  const parsed = questions.map(({ message, octets }) => {
    const query = new ParsedQuery(new Uint8Array(0))
    parseQuery(message, octets, query)
    return query
  })
  for (const [index, { name }] of questions.entries()) {
    const query = parsed[index]!
    const entry = entryOf(name, query, asked[index]!, nowMs)
    cache.set(asked[index]!.key(query), entry)
    hot.putAnswer(asked[index]!, query, entry, 'stamp')
  }
  // More names than it has places may share a hash: only those that are still there are asked for.
  const there = questions.filter((_question, index) => {
    const entry = hot.answer(asked[index]!, parsed[index]!)
    expectThat(cache.get(asked[index]!.key(parsed[index]!), nowMs) !== undefined, 'cache')
    return entry !== null
  })
  expectThat(there.length > questions.length / 2, 'the hot table keeps most')
  const places = there.map((question) => questions.indexOf(question))
  return [
    over('cache hit, hot table', there, (_question, index) => {
      hot.answer(asked[places[index]!]!, parsed[places[index]!]!)
    }),
    over('cache hit, LRU (with its key)', questions, (_question, index) => {
      cache.get(asked[index]!.key(parsed[index]!), nowMs)
    }),
  ]
}

function entryOf(name: string, query: ParsedQuery, asked: AskedName, nowMs: number): CacheEntry {
  const message = answerTo(name, 0)
  const facts = new AnswerFacts()
  const { questionEnd, type } = query
  expectThat(inspectAnswer(message, message.length, questionEnd, type, facts), `answer ${name}`)
  const entry = new CacheEntry()
  entry.take(message, facts, asked.key(query), nowMs)
  return entry.kept()
}

/** The whole way from octets to octets: a blocked name and a cached one. */
export async function answerParts(corpus: Corpus): Promise<{ parts: Part[]; close: () => void }> {
  const upstream = createSocket('udp4')
  upstream.on('message', (message, from) => {
    const { id = 0, questions } = decode(message)
    upstream.send(answerTo(questions![0]!.name, id), from.port, from.address)
  })
  upstream.bind(0, '127.0.0.1')
  await once(upstream, 'listening')
  const settings = settingsFor(upstream.address().port)
  const policy = createPolicy(policyMessage(openTrie(corpus.image), settings), settings)
  const encrypted = new EncryptedWays()
  const system = { libc: undefined, loop: undefined, upstreamPortsMax: 64, encrypted }
  const pipeline = new Pipeline(settings, policy, createCounters(), system)
  const blocked = corpus.listed.map(questionOf)
  const cached = corpus.unlisted.map(questionOf)
  const out = new Uint8Array(REPLY_OCTETS)
  const client = new Client(PROTO_UDP, FAMILY_IPV4)
  client.octets = Uint8Array.of(127, 0, 0, 1)
  client.addressOctets = 4
  const handle = ({ message, octets }: Question, sink: ReplySink): number =>
    pipeline.handle(message, octets, out, client, sink, performance.now())
  for (const question of cached) await answeredOnce((sink) => handle(question, sink))
  for (const [questions, rcode] of [
    [blocked, NXDOMAIN],
    [cached, 'NOERROR'],
  ] as const) {
    for (const question of questions) {
      const octets = handle(question, NO_SINK)
      const said = octets > 0 ? decode(Buffer.from(out.subarray(0, octets))) : undefined
      expectThat(rcodeOf(said) === rcode, `answer to ${question.name}: ${rcodeOf(said)}`)
    }
  }
  const parts = [
    over('answer a blocked name', blocked, (question) => handle(question, NO_SINK)),
    over('answer from the cache', cached, (question) => handle(question, NO_SINK)),
  ]
  const close = (): void => {
    pipeline.close()
    upstream.close()
  }
  return { parts, close }
}

function rcodeOf(said: ReturnType<typeof decode> | undefined): string {
  return said === undefined ? 'none' : String((said as { rcode?: string }).rcode)
}

/** Nobody waits in what is timed: every answer is at hand. */
const NO_SINK: ReplySink = {
  hold: () => {},
  send: () => false,
}

/** Resolves when the pipeline has answered, at once or through the sink. */
function answeredOnce(handle: (sink: ReplySink) => number): Promise<void> {
  return new Promise((resolve) => {
    const send = (): boolean => {
      resolve()
      return true
    }
    if (handle({ hold: () => {}, send }) !== PENDING) resolve()
  })
}

function settingsFor(upstreamPort: number): DataplaneSettings {
  const text = `upstreams: ["127.0.0.1:${upstreamPort}"]`
  return loadConfig({ source: { name: 'bench.yaml', text }, environment: {} }).dataplane
}

function policyMessage(trie: Trie, settings: DataplaneSettings): ReturnType<typeof policyOf> {
  const essential = EssentialNames.none()
  return policyOf(
    {
      trie,
      essential,
      reports: [],
      addresses: null,
      privateZones: new Uint8Array(0),
      loadedAtSeconds: 0,
    },
    settings,
    NO_OVERLAY,
  )
}

/** A burst over loopback and back, two recvmmsg and two sendmmsg. */
export async function batchParts(): Promise<{ parts: Part[]; close: () => void }> {
  const libc = await openLibc()
  if (!isLibc(libc)) throw new Error(`no system calls: ${libc.why}`)
  const { fd: server } = openBoundSocket(libc, 'udp', { address: '127.0.0.1', port: 0 }, false)
  const port = boundPort(libc, server)
  const client = openConnectedSocket(libc, { address: '127.0.0.1', port }, 0)
  const run = createBurst(libc, server, client)
  expectThat(run() === BURST, 'a burst comes back whole')
  return {
    parts: [{ name: `batch of ${BURST} there and back, a query`, operations: BURST, run }],
    close: () => {
      libc.close(server)
      libc.close(client)
    },
  }
}

function createBurst(libc: Libc, server: number, client: number): () => number {
  const questions = new DatagramBatch(libc, BURST, SLOT_OCTETS)
  const served = new DatagramBatch(libc, BURST, SLOT_OCTETS)
  const answers = new DatagramBatch(libc, BURST, SLOT_OCTETS)
  const { message, octets } = questionOf('www.example.com', 1)
  for (const slot of questions.messages) slot.set(message.subarray(0, octets))
  return () => {
    for (let slot = 0; slot < BURST; slot++) questions.queue(slot, octets, 0)
    questions.send(client)
    const received = served.receive(server, 0)
    for (let slot = 0; slot < received; slot++) {
      served.queue(slot, served.lengthOf(slot), served.addressOctets(slot))
    }
    served.send(server)
    return answers.receive(client, 0)
  }
}
