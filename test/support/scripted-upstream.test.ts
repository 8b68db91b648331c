import { expect, test } from 'vitest'
import { askTcp, askUdp, exchangeUdp, frame, openTcp, openUdp } from './dns-client.ts'
import { Gate } from './gate.ts'
import { decodeMessage, encodeQuery } from './messages.ts'
import {
  type Moves,
  garbage,
  nameError,
  reply,
  silence,
  startScriptedUpstream,
  truncated,
  withWrongId,
  withoutResponseBit,
  wrongQuestion,
} from './scripted-upstream.ts'

test('it answers by default on every transport and family, and records who asked', async () => {
  for (const address of ['127.0.0.1', '::1'] as const) {
    const upstream = await startScriptedUpstream(undefined, { address })
    const udp = await askUdp(upstream, 'wWw.Example.com', 'A', { id: 7 })
    expect(udp).toMatchObject({ id: 7, rcode: 'NOERROR', answers: [{ data: '192.0.2.53' }] })
    const tcp = await askTcp(upstream, 'www.example.com', 'AAAA')
    expect(tcp.answers).toMatchObject([{ data: '2001:db8::53' }])
    const other = await askTcp(upstream, 'www.example.com', 'HTTPS')
    expect(other).toMatchObject({ rcode: 'NOERROR', answers: [], authorities: [{ type: 'SOA' }] })
    expect(upstream.queries).toMatchObject([
      { transport: 'udp', id: 7, name: 'wWw.Example.com', type: 'A', source: { address } },
      { transport: 'tcp', name: 'www.example.com', type: 'AAAA' },
      { transport: 'tcp', type: 'HTTPS' },
    ])
    expect(upstream.countOf('www.example.com', 'A')).toBe(1)
    expect(upstream.connections).toBe(2)
  }
})

test('an answer is held back until the test lets it go', async () => {
  const gate = new Gate<Moves>()
  const upstream = await startScriptedUpstream(() => gate.opened)
  const client = await openUdp(upstream)
  await client.send(encodeQuery('late.example.com'))
  const query = await upstream.query(1)
  expect(client.unread).toBe(0)
  gate.open(nameError(query))
  expect(decodeMessage(await client.next()).rcode).toBe('NXDOMAIN')
  await client.close()
})

test('every wrong reply is wrong in its one way, and several leave in order', async () => {
  const upstream = await startScriptedUpstream((query) => {
    const right = reply(query)
    return [
      withWrongId(right),
      withoutResponseBit(right),
      wrongQuestion(query),
      garbage(query),
      truncated(query),
      right,
    ]
  })
  const client = await openUdp(upstream)
  await client.send(encodeQuery('many.example.com', 'A', { id: 100 }))
  expect(decodeMessage(await client.next())).toMatchObject({ id: 101, response: true })
  expect(decodeMessage(await client.next())).toMatchObject({ id: 100, response: false })
  expect(decodeMessage(await client.next()).questions).toMatchObject([
    { name: 'wrong.example.net' },
  ])
  const broken = await client.next()
  expect(() => decodeMessage(broken)).toThrow()
  expect(decodeMessage(await client.next())).toMatchObject({ id: 100, truncated: true })
  expect(decodeMessage(await client.next())).toMatchObject({ id: 100, truncated: false })
  await client.close()
})

test('a spoofed datagram comes from another port', async () => {
  const upstream = await startScriptedUpstream((query) => ({
    octets: reply(query),
    as: 'spoofed',
  }))
  const octets = await exchangeUdp(upstream, encodeQuery('spoofed.example.com'))
  expect(decodeMessage(octets).response).toBe(true)
})

test('silence is a timeout at the client', async () => {
  const upstream = await startScriptedUpstream(silence)
  const asked = askUdp(upstream, 'never.example.com', 'A', { timeoutMs: 100 })
  await expect(asked).rejects.toThrow('no answer (after 100 ms)')
  expect((await upstream.query(1)).name).toBe('never.example.com')
})

test('a connection can be closed, reset, and fed octets that are no message', async () => {
  const upstream = await startScriptedUpstream(() => 'close')
  await expect(askTcp(upstream, 'a.example.com')).rejects.toThrow('closed the connection')
  upstream.follow(() => 'reset')
  await expect(askTcp(upstream, 'a.example.com')).rejects.toThrow(/ECONNRESET|closed/)
  upstream.follow((query) => ({ octets: Buffer.concat([frame(reply(query))]), as: 'unframed' }))
  expect((await askTcp(upstream, 'a.example.com')).response).toBe(true)
  upstream.follow((query) => [
    { octets: frame(reply(query)).subarray(0, 9), as: 'unframed' },
    'close',
  ])
  await expect(askTcp(upstream, 'a.example.com')).rejects.toThrow('closed the connection')
})

test('pipelined and split messages arrive whole', async () => {
  const upstream = await startScriptedUpstream()
  const client = await openTcp(upstream)
  const ids = [1, 2, 3]
  await client.send(...ids.map((id) => encodeQuery('pipe.example.com', 'A', { id })))
  for (const id of ids) expect((await client.nextMessage()).id).toBe(id)
  const octets = frame(encodeQuery('split.example.com', 'A', { id: 4 }))
  await client.writeSplit(octets, [1, 2, 3, 20])
  expect((await client.nextMessage()).id).toBe(4)
  await client.close()
  await client.closed
})

test('a script that throws is a failure on record, not a crash', async () => {
  const upstream = await startScriptedUpstream(() => {
    throw new Error('the script is wrong')
  })
  await expect(askUdp(upstream, 'x.example.com', 'A', { timeoutMs: 50 })).rejects.toThrow()
  expect(upstream.failures).toMatchObject([{ message: 'the script is wrong' }])
})

test('octets that are no query are kept apart', async () => {
  const upstream = await startScriptedUpstream()
  const asked = exchangeUdp(upstream, Buffer.from('short'), 50)
  await expect(asked).rejects.toThrow('no answer')
  expect(upstream.unreadable).toEqual([Buffer.from('short')])
  expect(upstream.queries).toEqual([])
})

test('a closed side refuses: connections without TCP, and everything after stop', async () => {
  const upstream = await startScriptedUpstream(undefined, { tcp: false })
  await expect(openTcp(upstream)).rejects.toThrow('ECONNREFUSED')
  await upstream.stop()
  await expect(askUdp(upstream, 'x.example.com', 'A', { timeoutMs: 50 })).rejects.toThrow()
})
