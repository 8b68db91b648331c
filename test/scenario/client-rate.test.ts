import { describe, expect, test } from 'vitest'
import { DROPPED, DROP_RATE, SITE_LIMITED } from '../../src/dataplane/counters.ts'
import { conforms } from '../conformance/conforms.ts'
import { startDataplane, type Dataplane } from '../support/dataplane.ts'
import { askTcp, askUdp, from, openTcp, openUdp } from '../support/dns-client.ts'
import { decodeMessage, encodeQuery, type Message } from '../support/messages.ts'

const FLOODER = '127.0.0.2'
const HONEST = '127.0.0.3'
/** So slow that no token comes back during a test. */
const RATE = { clientQueriesPerSecond: 1, clientBurst: 5, prefixQueriesPerSecond: 0 }
const QUERY = encodeQuery('localhost')

async function start(rate: object): Promise<Dataplane> {
  return startDataplane({ rate: { ...RATE, ...rate }, rules: { adult: ['blocked.example'] } })
}

/** Sends so many queries from one address and returns how they were answered. */
async function flood(server: Dataplane, queries: number, replies: number): Promise<string[]> {
  const client = await openUdp(from(server, FLOODER))
  for (let index = 0; index < queries; index++) await client.send(QUERY)
  const words: string[] = []
  for (let index = 0; index < replies; index++) {
    const octets = await client.next()
    const { rcode, truncated, answers } = decodeMessage(octets)
    expect(octets.length <= QUERY.length || !truncated).toBe(true)
    words.push(truncated && answers.length === 0 ? 'TC' : rcode)
  }
  await server.until(() => server.balance().received === queries)
  await client.close()
  return words
}

async function expectBalanced(server: Dataplane): Promise<void> {
  const { received, answered, dropped, inFlight } = await server.idle()
  expect(received).toBe(answered + dropped + inFlight)
}

describe('a client over its rate', () => {
  conforms('amplification')

  test('gets TC over UDP, no larger than its question, and an answer over TCP', async () => {
    const server = await start({ slip: 1 })
    expect(await flood(server, 8, 8)).toEqual([...Array(5).fill('NOERROR'), 'TC', 'TC', 'TC'])
    expect((await askTcp(from(server, FLOODER), 'localhost')).rcode).toBe('NOERROR')
    expect(server.count(SITE_LIMITED)).toBe(3)
    await expectBalanced(server)
  })

  test('does not slow others down', async () => {
    const server = await start({ slip: 1 })
    await flood(server, 10, 10)
    const answer = await askUdp(from(server, HONEST), 'localhost')
    expect(answer).toMatchObject({ rcode: 'NOERROR', truncated: false })
  })

  test('gets silence where slip says so, counted', async () => {
    const server = await start({ slip: 2 })
    expect(await flood(server, 9, 7)).toEqual([...Array(5).fill('NOERROR'), 'TC', 'TC'])
    expect(server.count(DROPPED + DROP_RATE)).toBe(2)
    await expectBalanced(server)
    const silent = await start({ slip: 0 })
    await flood(silent, 9, 5)
    expect(silent.count(DROPPED + DROP_RATE)).toBe(4)
    await expectBalanced(silent)
  })

  test('gets REFUSED over TCP when its rate there is used up too', async () => {
    const server = await start({})
    const client = await openTcp(from(server, FLOODER))
    await client.send(...Array.from({ length: 7 }, () => QUERY))
    const rcodes: string[] = []
    for (let index = 0; index < 7; index++) rcodes.push((await client.nextMessage()).rcode)
    expect(rcodes).toEqual([...Array(5).fill('NOERROR'), 'REFUSED', 'REFUSED'])
    await client.close()
    await expectBalanced(server)
  })

  test('gets REFUSED with a server cookie when the rate of proven addresses is used up too', async () => {
    conforms('cookies')
    const secret = Buffer.alloc(16, 0x5a)
    const server = await startDataplane({
      rate: RATE,
      cookies: { secrets: [secret], seed: Buffer.alloc(0) },
    })
    const client = await openUdp(from(server, FLOODER))
    const ask = async (cookie: Uint8Array): Promise<Message> => {
      const options = [{ code: 10, data: cookie }]
      await client.send(encodeQuery('localhost', 'A', { edns: { options } }))
      return decodeMessage(await client.next())
    }
    const first = await ask(Buffer.from('a client'))
    const cookie = Buffer.from(first.edns!.options.find(({ code }) => code === 10)!.data)
    const rcodes: string[] = []
    for (let index = 0; index < 7; index++) {
      const answer = await ask(cookie)
      expect(answer.truncated).toBe(false)
      rcodes.push(answer.rcode)
    }
    expect(rcodes).toEqual([...Array(5).fill('NOERROR'), 'REFUSED', 'REFUSED'])
    expect(server.count(SITE_LIMITED)).toBe(2)
    // Whoever forges the address uses up another bucket: four were left of it.
    await client.close()
    const forger = await openUdp(from(server, FLOODER))
    for (let index = 0; index < 6; index++) await forger.send(QUERY)
    const truncated: boolean[] = []
    for (let index = 0; index < 6; index++) {
      truncated.push(decodeMessage(await forger.next()).truncated)
    }
    expect(truncated).toEqual([false, false, false, false, true, true])
    await forger.close()
    await expectBalanced(server)
  })

  test('gets no answer to broken messages, so that nobody is flooded with FORMERR', async () => {
    const server = await start({})
    const client = await openUdp(from(server, FLOODER))
    const broken = Buffer.from(QUERY)
    broken.writeUInt16BE(2, 4)
    for (let index = 0; index < 7; index++) await client.send(broken)
    await server.until(() => server.balance().received === 7)
    expect(server.balance()).toMatchObject({ answered: 5, dropped: 2 })
    await client.close()
  })

  test('shares the rate of its prefix with its neighbours', async () => {
    const prefix = { clientQueriesPerSecond: 0, prefixQueriesPerSecond: 1, prefixBurst: 2 }
    const server = await start({ ...prefix, ipv4PrefixBits: 24 })
    expect((await askUdp(from(server, FLOODER), 'localhost')).truncated).toBe(false)
    expect((await askUdp(from(server, HONEST), 'localhost')).truncated).toBe(false)
    expect((await askUdp(from(server, HONEST), 'localhost')).truncated).toBe(true)
  })
})

test('a site may have a rate of its own, and some addresses none', async () => {
  const server = await startDataplane({
    rate: { ...RATE, clientBurst: 1, exemptFrom: ['127.0.0.1/32'] },
    sites: [{ name: 'big', from: [`${HONEST}/32`], rate: { clientBurst: 4 } }],
  })
  const truncated = async (address: string): Promise<number> => {
    let count = 0
    for (let index = 0; index < 5; index++) {
      if ((await askUdp(from(server, address), 'localhost')).truncated) count++
    }
    return count
  }
  expect(await truncated('127.0.0.1')).toBe(0)
  expect(await truncated(FLOODER)).toBe(4)
  expect(await truncated(HONEST)).toBe(1)
  expect([server.count(SITE_LIMITED), server.count(SITE_LIMITED + 1)]).toEqual([4, 1])
  await expectBalanced(server)
})
