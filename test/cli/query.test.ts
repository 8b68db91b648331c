import { describe, expect, test } from 'vitest'
import { EXIT } from '../../src/base/errors.ts'
import { encodeQuery, isReplyTo } from '../../src/controlplane/cli/dns-exchange.ts'
import { requireName, typeName, typeNumber } from '../../src/controlplane/cli/names-and-types.ts'
import { freePort } from '../support/ports.ts'
import {
  answerAddresses,
  reply,
  startScriptedUpstream,
  truncated,
  withWrongId,
  wrongQuestion,
  type Script,
} from '../support/scripted-upstream.ts'
import { run } from './in-process.ts'

const soa = 'ns.example. host.example. 1 3600 600 86400 60'

/** An answer as niveau3 gives it for a blocked name. */
const blocked: Script = (query) =>
  reply(query, {
    rcode: 'NXDOMAIN',
    authorities: [
      {
        name: 'example',
        type: 'SOA',
        ttl: 60,
        data: {
          mname: 'ns.example',
          rname: 'host.example',
          serial: 1,
          refresh: 3600,
          retry: 600,
          expire: 86_400,
          minimum: 60,
        },
      },
    ],
    edns: { options: [{ code: 15, data: Buffer.from('\0\x0Fcategory vpn', 'latin1') }] },
  })

const truncatedOverUdp: Script = (query) =>
  query.transport === 'udp' ? truncated(query) : answerAddresses(query)

const forgedFirst: Script = (query) => [
  withWrongId(reply(query)),
  wrongQuestion(query),
  reply(query, { rcode: 'REFUSED' }),
]

/** Promises a record that it does not hold. */
const short: Script = (query) => {
  const message = reply(query)
  message.writeUInt16BE(1, 6)
  return message
}

async function ask(script: Script, args: readonly string[]) {
  const server = await startScriptedUpstream(script)
  return run(['query', ...args, '--server', server.endpoint])
}

describe('query', () => {
  test('asks for the host of an address that was pasted, and says so', async () => {
    const { stdout, stderr } = await ask(answerAddresses, ['https://www.example:8443/x'])
    expect(stdout).toMatch(/^;; QUESTION www\.example\. A$/m)
    expect(stderr).toBe('"https://www.example:8443/x" is taken as the name www.example\n')
  })

  test('shows the answer in the words of dig', async () => {
    const { code, stdout, stderr } = await ask(answerAddresses, ['www.example'])
    expect({ code, stderr }).toEqual({ code: EXIT.ok, stderr: '' })
    expect(stdout).toMatch(/^;; NOERROR, id \d+, flags qr rd ra, no EDNS$/m)
    expect(stdout).toMatch(/^;; QUESTION www\.example\. A$/m)
    expect(stdout).toMatch(/^;; ANSWER\nwww\.example\. {2}300 {2}IN {2}A {2}192\.0\.2\.53$/m)
    expect(stdout).toMatch(/^;; \d+ octets from 127\.0\.0\.1:\d+ over UDP in \d+\.\d ms$/m)
  })

  test('shows a block with its extended error and SOA', async () => {
    const { code, stdout } = await ask(blocked, ['vpn.example'])
    expect(code).toBe(EXIT.ok)
    expect(stdout).toMatch(/^;; NXDOMAIN, .*EDNS 1232$/m)
    expect(stdout).toMatch(/^;; EDE 15 \(Blocked\): category vpn$/m)
    expect(stdout).toContain(`;; AUTHORITY\nexample.  60  IN  SOA  ${soa}\n`)
  })

  test('--json gives all of it as one object', async () => {
    const { json } = await ask(blocked, ['vpn.example', 'https', '--json'])
    expect(json()).toEqual({
      schema: 'niveau3.query/1',
      server: expect.stringMatching(/^127\.0\.0\.1:\d+$/),
      protocol: 'udp',
      milliseconds: expect.any(Number),
      octets: expect.any(Number),
      question: { name: 'vpn.example', type: 'HTTPS' },
      id: expect.any(Number),
      rcode: 'NXDOMAIN',
      flags: ['qr', 'rd', 'ra'],
      edns: { udpOctets: 1232, errors: [{ code: 15, name: 'Blocked', text: 'category vpn' }] },
      answers: [],
      authorities: [{ name: 'example.', type: 'SOA', ttl: 60, data: soa }],
      additionals: [],
    })
  })

  test.each([
    ['MX', { preference: 10, exchange: 'mx.example' }, '10 mx.example.'],
    ['TXT', [Buffer.from('a "b"'), Buffer.from('\u001B[31m')], String.raw`"a \"b\"" "\027[31m"`],
    ['CNAME', 'other.example', 'other.example.'],
    ['AAAA', '2001:db8::1', '2001:db8::1'],
  ])('writes %s records in presentation format', async (type, data, text) => {
    const script: Script = (query) =>
      reply(query, { answers: [{ name: 'x.example', type, ttl: 5, data }] })
    const { json } = await ask(script, ['x.example', type, '--json'])
    expect(json()['answers']).toEqual([{ name: 'x.example.', type, ttl: 5, data: text }])
  })

  test('asks over TCP with --tcp, and by itself when the answer is truncated', async () => {
    const overTcp = await ask(answerAddresses, ['x.example', '--tcp'])
    expect(overTcp.stdout).toMatch(/over TCP/)
    const { stdout } = await ask(truncatedOverUdp, ['x.example'])
    expect(stdout).toMatch(/192\.0\.2\.53[\s\S]*over TCP/)
  })

  test('sends a random id, recursion desired, EDNS 1232 and the type as a number', async () => {
    const server = await startScriptedUpstream(answerAddresses)
    const args = ['query', 'Bücher.example', 'TYPE64', '--server', server.endpoint]
    await run(args)
    await run(args)
    const first = await server.query(1)
    const second = await server.query(2)
    expect(first.message).toMatchObject({ recursionDesired: true, edns: { udpOctets: 1232 } })
    expect(first).toMatchObject({ name: 'xn--bcher-kva.example', type: 'SVCB' })
    expect(first.id === second.id && first.source.port === second.source.port).toBe(false)
  })

  test('waits past answers to something else', async () => {
    expect((await ask(forgedFirst, ['x.example'])).stdout).toMatch(/^;; REFUSED/)
  })

  test('a closed port ends with 3 at once', async () => {
    const server = `127.0.0.1:${await freePort()}`
    for (const protocol of [[], ['--tcp']]) {
      const { code, stderr } = await run(['query', 'x.example', '--server', server, ...protocol])
      expect(code).toBe(EXIT.unreachable)
      expect(stderr).toMatch(/^error: no answer from 127.*ECONNREFUSED; is "niveau3 serve" running/)
    }
  })

  test('a connection that closes without an answer ends with 3', async () => {
    const { code, stderr } = await ask(() => 'close', ['x.example', '--tcp'])
    expect(code).toBe(EXIT.unreachable)
    expect(stderr).toMatch(/it closed the connection/)
  })

  test('an answer that is no message ends with 3', async () => {
    const { code, stderr } = await ask(short, ['x.example'])
    expect(code).toBe(EXIT.unreachable)
    expect(stderr).toMatch(/octets that are no DNS message/)
  })

  test('without --server the first listen address of the configuration is asked', async () => {
    const server = await startScriptedUpstream(answerAddresses)
    const environment = { NIVEAU3_LISTEN: server.endpoint }
    expect((await run(['query', 'x.example'], { environment })).stdout).toMatch(/192\.0\.2\.53/)
    const port = server.endpoint.split(':')[1]!
    const wildcard = { NIVEAU3_LISTEN: `0.0.0.0:${port}`, NIVEAU3_ALLOW_FROM: '10.0.0.0/8' }
    const asked = await run(['query', 'x.example'], { environment: wildcard })
    expect(asked.stdout).toMatch(/192\.0\.2\.53/)
  })
})

test('a reply is known by its id, its response bit and its question in any letter case', () => {
  const query = encodeQuery(requireName('www.example'), 1)
  const good = Buffer.from(query)
  good[2] = 0x81
  expect(isReplyTo(query, good)).toBe(true)
  const folded = Buffer.from(good.toString('latin1').replace('www', 'wWW'), 'latin1')
  expect(isReplyTo(query, folded)).toBe(true)
  expect(isReplyTo(query, query)).toBe(false)
  expect(isReplyTo(query, withWrongId(good))).toBe(false)
  expect(isReplyTo(query, good.subarray(0, 14))).toBe(false)
  expect(isReplyTo(query, good.subarray(0, 5))).toBe(false)
  const other = Buffer.from(good.toString('latin1').replace('www', 'Xww'), 'latin1')
  expect(isReplyTo(query, other)).toBe(false)
})

test('types are read by name and by number', () => {
  expect(['a', 'HTTPS', 'TYPE65', 'type1', 'caa'].map(typeNumber)).toEqual([1, 65, 65, 1, 257])
  expect(['TYPE0', 'TYPE65536', 'TYPEX', ''].map(typeNumber)).toEqual(
    Array.from({ length: 4 }, () => undefined),
  )
  expect([65, 257, 4711].map(typeName)).toEqual(['HTTPS', 'CAA', 'TYPE4711'])
})
