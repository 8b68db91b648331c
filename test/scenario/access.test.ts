import { describe, expect, test } from 'vitest'
import {
  DROPPED,
  DROP_ACL,
  DROP_RESPONSE,
  DROP_SHORT,
  FAMILY_IPV4,
  FAMILY_IPV6,
  PROTO_TCP,
  PROTO_UDP,
  TCP_ACCEPTED,
  querySlot,
} from '../../src/dataplane/counters.ts'
import { startDataplane } from '../support/dataplane.ts'
import { askTcp, askUdp, openTcp, openUdp } from '../support/dns-client.ts'
import { encodeQuery } from '../support/messages.ts'
import { header, join, question } from '../support/octets.ts'
import { answerAddresses, startScriptedUpstream } from '../support/scripted-upstream.ts'
import { conforms } from '../conformance/conforms.ts'

describe('a client outside allowFrom', () => {
  test('gets no answer over UDP, and is counted as a drop', async () => {
    conforms('amplification')
    const upstream = await startScriptedUpstream()
    const server = await startDataplane({ upstreams: [upstream], allowFrom: ['10.0.0.0/8'] })
    const client = await openUdp(server)
    await client.send(encodeQuery('www.example'))
    await server.until(() => server.count(DROPPED + DROP_ACL) === 1)
    expect(server.balance()).toEqual({ received: 1, answered: 0, dropped: 1, inFlight: 0 })
    expect(upstream.queries).toHaveLength(0)
    await client.close()
  })

  test('gets no connection over TCP, and is counted as a drop', async () => {
    const server = await startDataplane({ allowFrom: ['10.0.0.0/8'] })
    const client = await openTcp(server)
    await client.closed
    expect(server.balance()).toEqual({ received: 1, answered: 0, dropped: 1, inFlight: 0 })
    expect(server.count(TCP_ACCEPTED)).toBe(0)
    await client.close()
  })

  test('may be let in, or shut out, by a reload', async () => {
    const server = await startDataplane({ allowFrom: ['10.0.0.0/8'] })
    server.reload({ allowFrom: ['127.0.0.0/8'] })
    expect((await askUdp(server, 'localhost')).rcode).toBe('NOERROR')
    expect((await askTcp(server, 'localhost')).rcode).toBe('NOERROR')
    server.reload({ allowFrom: ['127.0.0.2/32'] })
    const client = await openUdp(server)
    await client.send(encodeQuery('localhost'))
    await server.until(() => server.count(DROPPED + DROP_ACL) === 1)
    expect(client.unread).toBe(0)
    await client.close()
  })
})

test('queries are counted by transport, family and type', async () => {
  const server = await startDataplane({ addresses: ['127.0.0.1', '::1'] })
  const [ipv4, ipv6] = server.endpoints
  await askUdp(ipv4!, 'localhost', 'A')
  await askUdp(ipv6!, 'localhost', 'AAAA')
  await askTcp(ipv4!, 'localhost', 'HTTPS')
  await askTcp(ipv6!, 'localhost', 'TYPE666')
  for (const [proto, family, type] of [
    [PROTO_UDP, FAMILY_IPV4, 1],
    [PROTO_UDP, FAMILY_IPV6, 28],
    [PROTO_TCP, FAMILY_IPV4, 65],
    [PROTO_TCP, FAMILY_IPV6, 666],
  ] as const) {
    expect(server.count(querySlot(proto, family, type))).toBe(1)
  }
  expect(server.balance()).toMatchObject({ received: 4, answered: 4 })
})

test('responses and messages without a header get no answer and nothing upstream', async () => {
  conforms('loop-dos')
  const upstream = await startScriptedUpstream()
  const server = await startDataplane({ upstreams: [upstream] })
  const client = await openUdp(server)
  const response = join(header({ flags: 0x8180 }), question('www.example'))
  for (const octets of [Buffer.alloc(0), Buffer.alloc(11), response]) await client.send(octets)
  await server.until(() => server.balance().received === 3)
  expect(server.count(DROPPED + DROP_SHORT)).toBe(2)
  expect(server.count(DROPPED + DROP_RESPONSE)).toBe(1)
  expect(client.unread).toBe(0)
  expect(upstream.queries).toHaveLength(0)
  await client.close()
})

describe('stopping', () => {
  test('answers what is in flight, asks nothing new, and then is gone', async () => {
    const release: (() => void)[] = []
    const upstream = await startScriptedUpstream(async (query) => {
      await new Promise<void>((resolve) => release.push(resolve))
      return answerAddresses(query)
    })
    const server = await startDataplane({
      rules: { adult: ['blocked.example'] },
      upstreams: [upstream],
    })
    const client = await openTcp(server)
    await client.send(encodeQuery('overtcp.example'))
    const overUdp = askUdp(server, 'overudp.example')
    await upstream.query(2)
    const stopped = server.stop(4000)
    expect(await askUdp(server, 'new.example', 'A', { edns: {} })).toMatchObject({
      rcode: 'SERVFAIL',
      ede: { code: 14 },
    })
    expect((await askUdp(server, 'blocked.example')).rcode).toBe('NXDOMAIN')
    for (const go of release) go()
    expect((await overUdp).rcode).toBe('NOERROR')
    expect((await client.nextMessage()).rcode).toBe('NOERROR')
    await stopped
    await client.closed
    await client.close()
    expect(upstream.queries).toHaveLength(2)
    expect(server.balance()).toEqual({ received: 4, answered: 4, dropped: 0, inFlight: 0 })
  })

  test('counts what it could not answer in time as dropped', async () => {
    const upstream = await startScriptedUpstream(() => undefined)
    const server = await startDataplane({ upstreams: [upstream] })
    const client = await openUdp(server)
    for (let id = 0; id < 3; id++) await client.send(encodeQuery('slow.example', 'A', { id }))
    await server.until(() => server.balance().inFlight === 3)
    await server.stop(0)
    expect(server.balance()).toEqual({ received: 3, answered: 0, dropped: 3, inFlight: 0 })
    await client.close()
  })
})
