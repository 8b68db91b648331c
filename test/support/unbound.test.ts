import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { beforeAll, expect, test } from 'vitest'
import { askTcp, askUdp } from './dns-client.ts'
import { program } from './programs.ts'
import { type Unbound, startUnbound } from './unbound.ts'

let unbound: Unbound
beforeAll(async () => {
  unbound = await startUnbound({ records: 'extra.example.org. 60 IN A 198.51.100.7' })
})

test('Unbound answers from its zone as a recursive resolver', async () => {
  const answer = await askUdp(unbound, 'www.example.com')
  expect(answer).toMatchObject({ rcode: 'NOERROR', recursionAvailable: true, authoritative: false })
  expect(answer.answers).toEqual([
    { name: 'www.example.com', type: 'A', ttl: 300, class: 'IN', data: '192.0.2.80' },
  ])
  expect((await askUdp(unbound, 'extra.example.org')).answers[0]?.data).toBe('198.51.100.7')
})

test('a name that the zone lacks is NXDOMAIN with the SOA', async () => {
  const answer = await askUdp(unbound, 'www.example.net')
  expect(answer.rcode).toBe('NXDOMAIN')
  expect(answer.authorities).toMatchObject([{ name: '.', type: 'SOA', ttl: 60 }])
})

test('a type that a name lacks is NODATA with the SOA', async () => {
  const answer = await askUdp(unbound, 'mail.example.com', 'AAAA')
  expect(answer).toMatchObject({ rcode: 'NOERROR', answers: [] })
  expect(answer.authorities).toMatchObject([{ type: 'SOA' }])
})

test('a chain of aliases is followed to its address, in order', async () => {
  const { answers } = await askUdp(unbound, 'chain1.example.com')
  expect(answers.map((record) => [record.name, record.type])).toEqual([
    ['chain1.example.com', 'CNAME'],
    ['chain2.example.com', 'CNAME'],
    ['chain3.example.com', 'CNAME'],
    ['www.example.com', 'A'],
  ])
})

test('an alias to nothing is NXDOMAIN behind its CNAME', async () => {
  const answer = await askUdp(unbound, 'dangling.example.com')
  expect(answer).toMatchObject({ rcode: 'NXDOMAIN', answers: [{ type: 'CNAME' }] })
})

test('a large answer is truncated over UDP and whole over TCP', async () => {
  const cut = await askUdp(unbound, 'large.example.com', 'TXT', { edns: { udpOctets: 1232 } })
  expect(cut.truncated).toBe(true)
  const whole = await askTcp(unbound, 'large.example.com', 'TXT')
  expect(whole.truncated).toBe(false)
  expect(whole.octets.length).toBeGreaterThan(4000)
})

test('newer and unknown types come through', async () => {
  const https = await askUdp(unbound, 'svc.example.com', 'HTTPS')
  expect(https.answers).toMatchObject([{ type: 'HTTPS', data: expect.any(Buffer) }])
  const unknown = await askUdp(unbound, 'unknown.example.com', 'TYPE666')
  expect(unknown.answers).toMatchObject([{ data: Buffer.from('deadbeef', 'hex') }])
})

test('the questions that reached it can be read', async () => {
  await askUdp(unbound, 'Asked.example.com', 'MX')
  await unbound.process.line(/Asked\.example\.com\. MX IN/i)
  expect(unbound.questions().map((line) => line.toLowerCase())).toContain(
    'asked.example.com. mx in',
  )
})

test('dig reads its answers', async () => {
  const args = ['@127.0.0.1', '-p', String(unbound.port), '+short', 'www.example.com']
  const { stdout } = await promisify(execFile)(await program('dig'), args)
  expect(stdout).toBe('192.0.2.80\n')
})
