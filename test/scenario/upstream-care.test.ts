/** What an upstream, or somebody who plays one, cannot bring about. */
import { createSocket } from 'node:dgram'
import { describe, expect, test } from 'vitest'
import { FAILURE_NETWORK, UPSTREAM_QUERIES, failureSlot } from '../../src/dataplane/counters.ts'
import { conforms } from '../conformance/conforms.ts'
import { startDataplane } from '../support/dataplane.ts'
import { askTcp, askUdp, openUdp } from '../support/dns-client.ts'
import { Gate } from '../support/gate.ts'
import { decodeMessage, encodeQuery } from '../support/messages.ts'
import { freePort } from '../support/ports.ts'
import {
  answerAddresses,
  noData,
  reply,
  silence,
  startScriptedUpstream,
  truncated,
} from '../support/scripted-upstream.ts'

const QUICK = { tryTimeoutMs: 80, totalTimeoutMs: 400, triesMax: 3 }

/** Resolves with the error that a datagram of a stranger to the port ends in. */
function knockAt(port: number): Promise<string | undefined> {
  const stranger = createSocket('udp4')
  return new Promise((resolve) => {
    stranger.on('error', (error: NodeJS.ErrnoException) => {
      stranger.close()
      resolve(error.code)
    })
    stranger.bind(0, '127.0.0.1', () => {
      stranger.connect(port, '127.0.0.1', () => stranger.send('knock'))
    })
  })
}

describe('the ports that questions leave from', () => {
  test('look closed to strangers, who learn and change nothing', async () => {
    conforms('port-leaks', 'reply-match')
    const gate = new Gate()
    const upstream = await startScriptedUpstream(async (query) => {
      await gate.opened
      return answerAddresses(query)
    })
    const server = await startDataplane({ upstreams: [upstream], transport: 'batched' })
    const answer = askUdp(server, 'a.example')
    const { source } = await upstream.query(1)
    const closed = await freePort()
    expect(await knockAt(source.port)).toBe('ECONNREFUSED')
    expect(await knockAt(closed)).toBe('ECONNREFUSED')
    gate.open()
    expect((await answer).answers).toHaveLength(1)
    expect(server.count(failureSlot(0, FAILURE_NETWORK))).toBe(0)
    expect(server.count(UPSTREAM_QUERIES)).toBe(1)
  })
})

describe('one name', () => {
  test('of many clients is one question for each of DO and CD, whatever else they say', async () => {
    conforms('birthday', 'ecs')
    const gate = new Gate()
    const upstream = await startScriptedUpstream(async (query) => {
      await gate.opened
      return answerAddresses(query)
    })
    const server = await startDataplane({ upstreams: [upstream] })
    const client = await openUdp(server)
    for (let index = 0; index < 200; index++) {
      const name = index % 3 === 0 ? 'WWW.Example' : 'www.eXample'
      const query = encodeQuery(name, 'A', {
        checkingDisabled: index % 2 === 0,
        edns: {
          dnssecOk: index % 4 > 1,
          udpOctets: 600 + index,
          options: [{ code: 8, data: Buffer.from([0, 1, 24, 0, 192, 0, index]) }],
        },
      })
      await client.send(query)
      if (index === 0) await upstream.query(1)
    }
    await server.until(() => server.balance().inFlight === 200, 'all wait')
    await upstream.query(4)
    gate.open()
    for (let index = 0; index < 200; index++) {
      expect(decodeMessage(await client.next()).answers).toHaveLength(1)
    }
    expect(upstream.queries).toHaveLength(4)
    await client.close()
  })

  test('that holds an asterisk is a name like any other', async () => {
    conforms('wildcards')
    const upstream = await startScriptedUpstream()
    const server = await startDataplane({
      upstreams: [upstream],
      rules: { adult: ['=a.exact.example', 'blocked.example'] },
    })
    const names = ['*.example', 'a.example', 'a.*.example', '*.exact.example', '*.example']
    for (const name of names) {
      const { rcode, answers } = await askUdp(server, name)
      expect({ rcode, owner: answers[0]?.name }).toEqual({ rcode: 'NOERROR', owner: name })
    }
    // Asked once each, and none answers another.
    expect(upstream.queries.map(({ name }) => name)).toEqual(names.slice(0, 4))
    expect((await askUdp(server, '*.blocked.example')).rcode).toBe('NXDOMAIN')
    expect(upstream.queries).toHaveLength(4)
  })

  test('that an NSEC record denies is asked all the same', async () => {
    conforms('no-synthesis')
    const upstream = await startScriptedUpstream((query) =>
      reply(query, {
        rcode: 'NXDOMAIN',
        authorities: [
          ...decodeMessage(noData(query)).authorities,
          {
            name: 'a.example',
            type: 'NSEC',
            ttl: 300,
            data: { nextDomain: 'z.example', rrtypes: ['A'] },
          },
        ],
      }),
    )
    const server = await startDataplane({ upstreams: [upstream] })
    for (const name of ['b.example', 'c.example']) {
      expect((await askUdp(server, name, 'A', { edns: { dnssecOk: true } })).rcode).toBe('NXDOMAIN')
    }
    expect(upstream.queries).toHaveLength(2)
  })
})

describe('when every upstream is gone', () => {
  test('blocks and kept answers are as before, the rest is SERVFAIL, and nobody else is asked', async () => {
    conforms('fallback-leaks', 'filter-bypass')
    const upstreams = [await startScriptedUpstream(), await startScriptedUpstream()]
    const bystander = await startScriptedUpstream()
    const server = await startDataplane({
      upstreams,
      forward: QUICK,
      rules: { adult: ['blocked.example'] },
    })
    await askUdp(server, 'kept.example')
    for (const upstream of upstreams) upstream.follow(silence)
    for (const ask of [askUdp, askTcp]) {
      expect((await ask(server, 'blocked.example')).rcode).toBe('NXDOMAIN')
      expect((await ask(server, 'kept.example')).answers).toHaveLength(1)
      expect((await ask(server, `${ask.name}.example`)).rcode).toBe('SERVFAIL')
    }
    expect(bystander.queries).toHaveLength(0)
    for (const { queries } of upstreams) {
      expect(queries.some(({ name }) => name.endsWith('blocked.example'))).toBe(false)
    }
  })

  test('because its port is closed, questions under way go to the next at once', async () => {
    conforms('dead-upstream', 'port-leaks')
    const closing = await startScriptedUpstream(silence)
    const other = await startScriptedUpstream()
    const forward = { tryTimeoutMs: 20_000, totalTimeoutMs: 20_000, triesMax: 3 }
    const server = await startDataplane({ upstreams: [closing, other], forward })
    const client = await openUdp(server)
    for (let index = 0; index < 50; index++) await client.send(encodeQuery(`a${index}.example`))
    await closing.query(50)
    await closing.stop()
    // The next question to each port brings the report; what waits there fails over with it.
    for (let index = 0; index < 200; index++) {
      expect((await askUdp(server, `b${index}.example`)).rcode).toBe('NOERROR')
    }
    expect(server.count(failureSlot(0, FAILURE_NETWORK))).toBeGreaterThan(0)
    await client.close()
  })

  test('or says TC to everything and refuses TCP: SERVFAIL, never a part for the whole', async () => {
    conforms('upstream-lies')
    const cutting = await startScriptedUpstream(truncated, { tcp: false })
    const server = await startDataplane({ upstreams: [cutting], forward: QUICK })
    expect(await askTcp(server, 'a.example')).toMatchObject({ rcode: 'SERVFAIL', answers: [] })
    const next = await startScriptedUpstream()
    server.reload({ upstreams: [cutting, next] })
    expect((await askTcp(server, 'a.example')).answers).toHaveLength(1)
  })
})
