import { describe, expect, test } from 'vitest'
import {
  FAILURE_CASE,
  FAILURE_EDNS,
  FAILURE_RCODE,
  failureSlot,
} from '../../src/dataplane/counters.ts'
import { conforms } from '../conformance/conforms.ts'
import { advanceClock } from '../support/clock.ts'
import { startDataplane } from '../support/dataplane.ts'
import { askUdp } from '../support/dns-client.ts'
import {
  answerAddresses,
  reply,
  startScriptedUpstream,
  type ReceivedQuery,
} from '../support/scripted-upstream.ts'

const NAME = 'some.rather.long.name.example'

/** As an upstream answers that writes the question anew in lower case. */
function lowered(query: ReceivedQuery, data = '192.0.2.66'): Buffer {
  const answers = [{ name: query.name, type: 'A', ttl: 300, data }]
  return reply(query, { question: { name: query.name.toLowerCase(), type: query.type }, answers })
}

describe('random letter case (0x20)', () => {
  test('goes upstream where it is on, and clients and cache see none of it', async () => {
    conforms('blind-spoofing', 'unpredictable', 'letter-case')
    const upstream = await startScriptedUpstream()
    const server = await startDataplane({ upstreams: [upstream], forward: { mixesCase: [true] } })
    const answer = await askUdp(server, NAME)
    expect(answer.questions[0]?.name).toBe(NAME)
    expect(answer.answers).toHaveLength(1)
    expect((await askUdp(server, NAME.toUpperCase())).questions[0]?.name).toBe(NAME.toUpperCase())
    expect(upstream.queries).toHaveLength(1)
    for (let index = 0; index < 100; index++) await askUdp(server, `${index}.${NAME}`)
    const names = upstream.queries.slice(1).map(({ name }, index) => name.slice(`${index}.`.length))
    expect(names.map((name) => name.toLowerCase())).toEqual(names.map(() => NAME))
    expect(new Set(names).size).toBeGreaterThan(95)
    // Each letter is upper case about every other time: five standard deviations of 100 throws.
    for (let at = 0; at < NAME.length; at++) {
      const upper = names.filter((name) => name[at] !== NAME[at]).length
      if (NAME[at] === '.') expect(upper).toBe(0)
      else expect(Math.abs(upper - 50)).toBeLessThan(26)
    }
    expect(server.count(failureSlot(0, FAILURE_CASE))).toBe(0)
  })

  test('is off unless it is asked for', async () => {
    const upstream = await startScriptedUpstream()
    const server = await startDataplane({ upstreams: [upstream] })
    await askUdp(server, NAME.toUpperCase())
    expect(upstream.queries[0]?.name).toBe(NAME)
  })

  test('keeps out a reply in other letters; the question goes over TCP instead', async () => {
    conforms('blind-spoofing')
    const upstream = await startScriptedUpstream((query) =>
      query.transport === 'udp' ? lowered(query) : answerAddresses(query),
    )
    const server = await startDataplane({ upstreams: [upstream], forward: { mixesCase: [true] } })
    const answer = await askUdp(server, NAME)
    expect(answer.answers.map(({ data }) => data)).toEqual(['192.0.2.53'])
    expect(upstream.queries.map(({ transport }) => transport)).toEqual(['udp', 'tcp'])
    expect(upstream.queries[1]?.name).toBe(NAME)
    expect(server.count(failureSlot(0, FAILURE_CASE))).toBe(1)
    const { received, answered } = await server.idle()
    expect(received).toBe(answered)
  })

  test('is switched off for an hour where letters never come back, then tried again', async () => {
    const upstream = await startScriptedUpstream((query) => lowered(query, '192.0.2.1'))
    const server = await startDataplane({ upstreams: [upstream], forward: { mixesCase: [true] } })
    for (let index = 0; index < 6; index++) {
      const answer = await askUdp(server, `${index}.${NAME}`)
      expect(answer.answers.map(({ data }) => data)).toEqual(['192.0.2.1'])
    }
    expect(server.count(failureSlot(0, FAILURE_CASE))).toBe(3)
    expect(upstream.queries).toHaveLength(9)
    expect(upstream.queries.at(-1)?.name).toBe(`5.${NAME}`)
    advanceClock(3_600_001)
    await askUdp(server, `again.${NAME}`)
    expect(server.count(failureSlot(0, FAILURE_CASE))).toBe(4)
  })
})

describe('an upstream that knows no EDNS (RFC 6891 6.2.2)', () => {
  test.each(['FORMERR', 'NOTIMP'] as const)(
    'and says %s is asked without it, from then on at once',
    async (rcode) => {
      conforms('edns-hop')
      const upstream = await startScriptedUpstream((query) =>
        query.message.edns === undefined ? answerAddresses(query) : reply(query, { rcode }),
      )
      const server = await startDataplane({ upstreams: [upstream] })
      for (const name of ['a.example', 'b.example']) {
        const answer = await askUdp(server, name, 'A', { edns: {} })
        expect(answer).toMatchObject({ rcode: 'NOERROR', answers: [{ data: '192.0.2.53' }] })
        expect(answer.edns).toBeDefined()
      }
      expect(upstream.queries.map(({ message }) => message.edns !== undefined)).toEqual([
        true,
        false,
        false,
      ])
      expect(upstream.unreadable).toEqual([])
      expect(server.count(failureSlot(0, FAILURE_EDNS))).toBe(1)
      advanceClock(3_600_001)
      await askUdp(server, 'c.example')
      expect(server.count(failureSlot(0, FAILURE_EDNS))).toBe(2)
    },
  )

  test('is not one that says FORMERR to everything', async () => {
    const failing = await startScriptedUpstream((query) => reply(query, { rcode: 'FORMERR' }))
    const server = await startDataplane({ upstreams: [failing, await startScriptedUpstream()] })
    for (const name of ['a.example', 'b.example']) {
      expect((await askUdp(server, name)).rcode).toBe('NOERROR')
    }
    expect(failing.queries.map(({ message }) => message.edns !== undefined)).toEqual([
      true,
      false,
      true,
      false,
    ])
    expect(server.count(failureSlot(0, FAILURE_RCODE))).toBe(2)
  })
})
