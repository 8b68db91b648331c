import { expect, test } from 'vitest'
import { conforms } from '../conformance/conforms.ts'
import { startDataplane } from '../support/dataplane.ts'
import { askTcp, askUdp, openTcp } from '../support/dns-client.ts'
import { encodeQuery } from '../support/messages.ts'
import { answerAddresses, startScriptedUpstream } from '../support/scripted-upstream.ts'

test('a long pipeline is answered turn by turn: others are not held back, none is lost', async () => {
  conforms('tcp-exhaustion')
  const upstream = await startScriptedUpstream(answerAddresses)
  const server = await startDataplane({ upstreams: [upstream] })
  await askTcp(server, 'cached.example')
  const amount = 4000
  const queries = Array.from({ length: amount }, (_, id) =>
    encodeQuery('cached.example', 'A', { id }),
  )
  const greedy = await Promise.all(Array.from({ length: 4 }, () => openTcp(server)))
  const before = server.balance().answered
  await Promise.all(greedy.map((client) => client.send(...queries)))
  await askUdp(server, 'localhost')
  // All were sent before it was asked: without turns whole reads of 64 KiB are answered first.
  expect(server.balance().answered - before).toBeLessThan((4 * amount) / 2)
  for (const client of greedy) {
    const ids = new Set<number>()
    for (let index = 0; index < amount; index++) ids.add((await client.next()).readUInt16BE(0))
    expect(ids.size).toBe(amount)
    await client.close()
  }
  const { received, answered, dropped } = await server.idle()
  expect(answered + dropped).toBe(received)
})

test('who ends its side behind a long pipeline gets every answer before the end', async () => {
  const server = await startDataplane({})
  const amount = 1500
  const queries = Array.from({ length: amount }, (_, id) => encodeQuery('localhost', 'A', { id }))
  const client = await openTcp(server)
  const sent = client.send(...queries)
  client.endWriting()
  await sent
  for (let id = 0; id < amount; id++) expect((await client.next()).readUInt16BE(0)).toBe(id)
  await client.closed
  await client.close()
  const { received, answered } = await server.idle()
  expect([received, answered]).toEqual([amount, amount])
})
