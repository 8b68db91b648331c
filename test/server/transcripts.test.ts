/**
 * What dig and kdig show of a server with everything switched on, as a page for people:
 * test/transcripts.md (`npm run conformance` writes it anew).
 */
import { join, resolve } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { createAuthority, type Authority } from '../support/certificates.ts'
import { startNiveau3, type Niveau3 } from '../support/niveau3.ts'
import { freePort } from '../support/ports.ts'
import { runToEnd } from '../support/processes.ts'
import { program } from '../support/programs.ts'
import { startUnbound } from '../support/unbound.ts'

const PAGE = join(resolve(import.meta.dirname, '../..'), 'test/transcripts.md')
const NAME = 'dns.example'
const CLIENT_COOKIE = '0123456789abcdef'

let authority: Authority
let server: Niveau3
let tlsPort = 0
let httpsPort = 0
const transcripts: string[] = []

beforeAll(async () => {
  authority = await createAuthority()
  const { certificateFile, keyFile } = await authority.sign({ names: [`DNS:${NAME}`] })
  tlsPort = await freePort()
  httpsPort = await freePort()
  server = await startNiveau3({
    upstreams: [await startUnbound()],
    blocklists: { vpn: ['blocked.example'] },
    config: `
edns: {cookies: true}
tls: {certificateFile: ${certificateFile}, keyFile: ${keyFile}, serverName: ${NAME}}
`,
    args: [`--listen=tls://127.0.0.1:${tlsPort}`, `--listen=https://127.0.0.1:${httpsPort}`],
  })
})

/** What a program prints, without what differs from run to run. */
function essenceOf(output: string): string {
  return output
    .split('\n')
    .filter(
      (line) =>
        !/^;; (Query time|SERVER|WHEN|MSG SIZE|TLS session|HTTP|Received|Time|From|global)/.test(
          line,
        ),
    )
    .filter((line) => !/^; <<>> DiG|^;; PADDING/.test(line))
    .join('\n')
    .replaceAll(/\bid: \d+/g, 'id: ...')
    .replaceAll(/\t\d+\tIN\t(?!SOA)/g, '\t300\tIN\t')
    .replaceAll(/COOKIE: ([0-9a-f]{16})[0-9a-f]{32}/g, 'COOKIE: $1...')
    .replaceAll(/("x+" ?)+/g, '"xxx..."')
    .replaceAll(/\n{3,}/g, '\n\n')
    .trim()
}

async function ask(
  tool: 'dig' | 'kdig',
  port: number,
  proof: readonly string[],
  words: readonly string[],
): Promise<string> {
  const args = ['@127.0.0.1', '-p', String(port), ...proof, ...words]
  const { stdout, stderr } = await runToEnd(await program(tool), args)
  const shown = essenceOf(stdout + stderr)
  transcripts.push(`    $ ${tool} ${words.join(' ')}\n${shown.replaceAll(/^(?=.)/gm, '    ')}\n`)
  return shown
}

const dig = (...words: readonly string[]) => ask('dig', server.port, ['+nocookie'], words)

test('over UDP and TCP: an answer, a block that says why, a truncated answer and the whole', async () => {
  transcripts.push('## UDP, TC and TCP\n')
  expect(await dig('www.example.com')).toMatch(/status: NOERROR[^]*192\.0\.2\.80/)
  expect(await dig('www.example.com', '+tcp')).toMatch(/status: NOERROR[^]*192\.0\.2\.80/)
  const blocked = await dig('www.blocked.example')
  expect(blocked).toMatch(/status: NXDOMAIN/)
  expect(blocked).toMatch(/EDE: 15 \(Blocked\)/)
  expect(await dig('large.example.com', 'TXT', '+ignore')).toMatch(/flags: qr tc rd ra;/)
  const whole = await dig('large.example.com', 'TXT')
  expect(whole).toMatch(/Truncated, retrying in TCP mode/)
  expect(whole).toMatch(/flags: qr rd ra;/)
})

test('EDNS: other versions get BADVERS, blocked or not; without EDNS there is none', async () => {
  transcripts.push('## EDNS versions\n')
  for (const name of ['www.example.com', 'www.blocked.example']) {
    const refused = await dig(name, '+edns=1', '+noednsnegotiation')
    expect(refused).toMatch(/status: BADVERS/)
    expect(refused).toMatch(/EDNS: version: 0/)
  }
  expect(await dig('www.example.com', '+edns=1')).toMatch(/BADVERS, retrying with EDNS version 0/)
  expect(await dig('www.example.com', '+noedns')).not.toMatch(/OPT PSEUDOSECTION/)
})

test('cookies: a server cookie comes back, and one of a wrong length is malformed', async () => {
  transcripts.push('## Cookies\n')
  const shown = await dig('www.example.com', `+cookie=${CLIENT_COOKIE}`)
  expect(shown).toMatch(new RegExp(`COOKIE: ${CLIENT_COOKIE}\\.\\.\\. \\(good\\)`))
  expect(await dig('www.example.com', '+ednsopt=10:0123')).toMatch(/status: FORMERR/)
})

test('over TLS and HTTPS: the same answers', async () => {
  const proof = [`+tls-ca=${authority.certificateFile}`, `+tls-hostname=${NAME}`]
  for (const [title, port, way] of [
    ['## DNS over TLS', tlsPort, '+tls'],
    ['## DNS over HTTPS', httpsPort, '+https'],
  ] as const) {
    transcripts.push(`${title}\n`)
    const kdig = (...words: readonly string[]) => ask('kdig', port, proof, [way, ...words])
    expect(await kdig('www.example.com')).toMatch(/status: NOERROR[^]*192\.0\.2\.80/)
    expect(await kdig('+edns', 'www.blocked.example')).toMatch(/status: NXDOMAIN[^]*Blocked/)
  }
})

test('the page is what the programs show (npm run conformance writes it)', async () => {
  const intro =
    'What dig and kdig show of a running server; without ids, times and the octets of cookies.\n' +
    'Address, port and the certificate to prove (`+tls-ca`, `+tls-hostname`) are left out.\n'
  const page = ['# Transcripts\n', intro, ...transcripts].join('\n')
  await expect(page).toMatchFileSnapshot(PAGE)
})
