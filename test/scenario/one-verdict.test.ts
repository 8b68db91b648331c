import * as fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { conforms } from '../conformance/conforms.ts'
import { startDataplane, type Dataplane } from '../support/dataplane.ts'
import { exchangeUdp, openTcp } from '../support/dns-client.ts'
import { decodeMessage, type Message } from '../support/messages.ts'
import { header, join, u16 } from '../support/octets.ts'
import {
  answerAddresses,
  startScriptedUpstream,
  type ScriptedUpstream,
} from '../support/scripted-upstream.ts'

const REFUSED = 5
const BADVERS = 16
const NOTIMP = 4
const CLASS_IN = 1

/** A way to ask: everything that a client chooses but the name. */
interface Way {
  readonly type: number
  readonly class: number
  /** RD, AA, TC, RA, Z, AD, CD, and four opcode bits. */
  readonly flags: number
  readonly opt: {
    readonly flags: number
    readonly version: number
    readonly options: Buffer
  } | null
  readonly transport: 'udp' | 'tcp'
  /** For each letter: upper case or not. */
  readonly upperCase: readonly boolean[]
}

const octets = (max: number) => fc.uint8Array({ maxLength: max }).map((array) => Buffer.from(array))
const option = fc
  .record({ code: fc.integer({ min: 16, max: 0xffff }), data: octets(12) })
  .map(({ code, data }) => join(u16(code), u16(data.length), data))
const way: fc.Arbitrary<Way> = fc.record({
  type: fc.oneof(
    fc.constantFrom(1, 28, 65, 64, 5, 15, 16, 255, 2, 6, 12, 33, 39, 251, 252, 41, 0),
    fc.integer({ min: 0, max: 0xffff }),
  ),
  class: fc.oneof(
    { weight: 8, arbitrary: fc.constant(CLASS_IN) },
    { weight: 1, arbitrary: fc.integer({ min: 0, max: 0xffff }) },
  ),
  flags: fc.oneof(
    { weight: 8, arbitrary: fc.integer({ min: 0, max: 0x07ff }) },
    { weight: 1, arbitrary: fc.integer({ min: 0, max: 0x7fff }) },
  ),
  opt: fc.option(
    fc.record({
      flags: fc.integer({ min: 0, max: 0xffff }),
      version: fc.oneof({ weight: 6, arbitrary: fc.constant(0) }, fc.integer({ min: 1, max: 255 })),
      options: fc.array(option, { maxLength: 4 }).map((options) => join(...options)),
    }),
  ),
  transport: fc.constantFrom('udp', 'tcp'),
  upperCase: fc.array(fc.boolean(), { minLength: 64, maxLength: 64 }),
})

/** A wire name whose labels are given one by one: a dot in a label is an octet of it. */
function wireName(labels: readonly string[], { upperCase }: Way): Buffer {
  let letter = 0
  const parts = labels.map((label) => {
    const text = Array.from(label, (char) =>
      upperCase[letter++ % upperCase.length]! ? char.toUpperCase() : char,
    ).join('')
    return join(Buffer.from([label.length]), Buffer.from(text, 'latin1'))
  })
  return join(...parts, Buffer.from([0]))
}

function queryOf(labels: readonly string[], asked: Way): Buffer {
  const { opt } = asked
  const question = join(wireName(labels, asked), u16(asked.type), u16(asked.class))
  const head = header({ id: 0x4242, flags: asked.flags, ar: opt === null ? 0 : 1 })
  if (opt === null) return join(head, question)
  const fixed = join(Buffer.from([0]), u16(41), u16(1232), Buffer.from([0, opt.version]))
  return join(head, question, fixed, u16(opt.flags), u16(opt.options.length), opt.options)
}

/** What a message about no question to decide gets; undefined: the name's verdict counts. */
function protocolAnswer({ flags, opt, type, class: asked }: Way): number | undefined {
  if ((flags & 0x7800) !== 0) return NOTIMP
  if (opt !== null && opt.version !== 0) return BADVERS
  const isMeta = type === 0 || type === 41 || (type >= 128 && type < 255)
  return asked !== CLASS_IN || isMeta ? REFUSED : undefined
}

let server: Dataplane
let upstream: ScriptedUpstream

beforeAll(async () => {
  upstream = await startScriptedUpstream(answerAddresses)
  const rules = { adult: ['blocked.example', '=exact.example', 'dot.ted'] }
  server = await startDataplane({ upstreams: [upstream], rules, essential: ['essential.example'] })
})

async function ask(labels: readonly string[], asked: Way): Promise<Message> {
  const query = queryOf(labels, asked)
  if (asked.transport === 'udp') return decodeMessage(await exchangeUdp(server, query))
  const client = await openTcp(server)
  await client.send(query)
  const reply = decodeMessage(await client.next())
  await client.close()
  return reply
}

const RUNS = { numRuns: 250 }

describe('whatever type, class, flags, options, letter case and transport it is asked with', () => {
  test.each([
    { what: 'a blocked name', labels: ['blocked', 'example'] },
    { what: 'a name below a blocked one', labels: ['www', 'blocked', 'example'] },
    { what: 'a name that is blocked alone', labels: ['exact', 'example'] },
  ])('$what is refused here, the first time and again', async ({ labels }) => {
    conforms('filter-bypass', 'dnssec-bits', 'header-flags', 'letter-case')
    const before = upstream.queries.length
    await fc.assert(
      fc.asyncProperty(way, async (asked) => {
        for (let time = 0; time < 2; time++) {
          const reply = await ask(labels, asked)
          const expected = protocolAnswer(asked)
          expect([reply.answers, reply.authenticData, reply.authoritative]).toEqual([
            [],
            false,
            false,
          ])
          if (expected !== undefined) expect(reply.extendedRcode).toBe(expected)
          else {
            expect(['NXDOMAIN', 'NOERROR']).toContain(reply.rcode)
            expect(reply.authorities.map(({ type }) => type)).toEqual(['SOA'])
            if (asked.opt !== null) expect(reply.ede?.code).toBe(15)
          }
        }
      }),
      RUNS,
    )
    expect(upstream.queries.length).toBe(before)
  })

  test.each([
    { what: 'a name beside a blocked one', labels: ['notblocked', 'example'] },
    { what: 'one label that spells a blocked name with its dot', labels: ['blocked.example'] },
    { what: 'a label with a dot above a blocked name', labels: ['www', 'dot.ted'] },
    { what: 'a name below one that is blocked alone', labels: ['www', 'exact', 'example'] },
    { what: 'an essential name', labels: ['essential', 'example'] },
  ])('$what is never blocked', async ({ labels }) => {
    conforms('over-blocking', 'any-octet', 'strings')
    await fc.assert(
      fc.asyncProperty(way, async (asked) => {
        const reply = await ask(labels, asked)
        const expected = protocolAnswer(asked)
        expect(reply.ede).toBe(undefined)
        if (expected !== undefined) expect(reply.extendedRcode).toBe(expected)
        else expect(reply.rcode).toBe('NOERROR')
      }),
      RUNS,
    )
    expect(upstream.queries.length).toBeGreaterThan(0)
  })
})
