import { X509Certificate } from 'node:crypto'
import { cp } from 'node:fs/promises'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { afterEach, beforeAll, describe, expect, test } from 'vitest'
import { createAuthority, type Authority, type Identity } from '../support/certificates.ts'
import { TcpClient, askUdp } from '../support/dns-client.ts'
import { Gate, within } from '../support/gate.ts'
import { decodeMessage, encodeQuery } from '../support/messages.ts'
import { runNiveau3, startNiveau3, type Niveau3 } from '../support/niveau3.ts'
import { freePort } from '../support/ports.ts'
import { runToEnd } from '../support/processes.ts'
import { program } from '../support/programs.ts'
import { startUnbound } from '../support/unbound.ts'

const NAME = 'dns.example'
const EXPIRY = 'niveau3_tls_certificate_expiry_timestamp_seconds'

let authority: Authority
let identity: Identity
const clients = new Set<TLSSocket>()

beforeAll(async () => {
  authority = await createAuthority()
  identity = await authority.sign({ names: [`DNS:${NAME}`] })
})

afterEach(() => {
  for (const client of clients) client.destroy()
  clients.clear()
})

interface Started {
  readonly server: Niveau3
  readonly tlsPort: number
  readonly httpsPort: number
}

async function start(
  files: { readonly certificateFile: string; readonly keyFile: string },
  args: readonly string[] = [],
): Promise<Started> {
  const [tlsPort, httpsPort] = [await freePort(), await freePort()]
  const listen = [
    '--listen',
    `tls://127.0.0.1:${tlsPort}`,
    '--listen',
    `https://127.0.0.1:${httpsPort}`,
  ]
  const { certificateFile, keyFile } = files
  const config = `tls: {certificateFile: ${certificateFile}, keyFile: ${keyFile}, serverName: ${NAME}}`
  const server = await startNiveau3({
    config,
    blocklists: { vpn: ['vpn.example'] },
    args: [...listen, ...args],
  })
  return { server, tlsPort, httpsPort }
}

async function open(port: number): Promise<TLSSocket> {
  const options = { ca: authority.certificate, servername: NAME, ALPNProtocols: ['dot'] }
  const socket = connectTls({ host: '127.0.0.1', port, ...options })
  clients.add(socket)
  const gate = new Gate()
  socket.once('secureConnect', () => gate.open())
  socket.once('error', (error) => gate.fail(error))
  await within(5000, 'no TLS connection', gate.opened)
  return socket
}

async function isBlockedFor(socket: TLSSocket): Promise<boolean> {
  const client = new TcpClient(socket)
  await client.send(encodeQuery('vpn.example'))
  return decodeMessage(await client.next()).rcode === 'NXDOMAIN'
}

function expiryOf({ certificate }: Identity): number {
  return Date.parse(new X509Certificate(certificate).validTo) / 1000
}

describe('niveau3 serve with encrypted listeners', () => {
  test('shares them between workers, which resume the sessions of each other', async () => {
    const { server, tlsPort, httpsPort } = await start(identity, ['--workers', '2'])
    expect(server.ready['listen']).toEqual([
      server.endpoint,
      `tls://127.0.0.1:${tlsPort}`,
      `https://127.0.0.1:${httpsPort}`,
    ])
    const first = await open(tlsPort)
    const ticket = new Gate<Buffer>()
    first.once('session', (session) => ticket.open(session))
    expect(await isBlockedFor(first)).toBe(true)
    const session = await ticket.opened
    for (let count = 0; count < 8; count++) {
      const options = { ca: authority.certificate, servername: NAME, session }
      const socket = connectTls({ host: '127.0.0.1', port: tlsPort, ...options })
      clients.add(socket)
      await new Promise((resolve) => socket.once('secureConnect', resolve))
      expect(socket.isSessionReused()).toBe(true)
    }
    const labels = { proto: 'tls', family: 'ipv4', type: 'A' }
    expect(await server.metric('niveau3_dns_queries_total', labels)).toBe(1)
    expect(await server.metric(EXPIRY)).toBe(expiryOf(identity))
    expect(await server.stop()).toEqual({ code: 0, signal: null })
  })

  test('takes a renewed certificate while connections are open, and no broken one', async () => {
    const certificateFile = `${authority.folder}/live.pem`
    const keyFile = `${authority.folder}/live.key`
    const put = async ({ certificateFile: from, keyFile: key }: Identity): Promise<void> => {
      await cp(from, certificateFile)
      await cp(key, keyFile)
    }
    await put(identity)
    const { server, tlsPort } = await start({ certificateFile, keyFile })
    const before = await open(tlsPort)
    const serial = before.getPeerCertificate().serialNumber

    const other = await authority.sign({ names: [`DNS:${NAME}`] })
    await cp(other.certificateFile, certificateFile)
    await server.process.line(/"event":"certificate_refused".*is not that of/)
    expect((await open(tlsPort)).getPeerCertificate().serialNumber).toBe(serial)
    expect(await server.metric(EXPIRY)).toBe(expiryOf(identity))

    const soon = await authority.sign({ names: [`DNS:${NAME}`], days: [-1, 3] })
    await put(soon)
    await server.process.line(/"event":"certificate".*new certificate; it ends in 2 days/)
    expect(await isBlockedFor(before)).toBe(true)
    expect((await open(tlsPort)).getPeerCertificate().serialNumber).not.toBe(serial)
    expect(await server.metric(EXPIRY)).toBe(expiryOf(soon))
  })

  test.each([
    ['without a certificate', [], /listen\[0\]: "tls:.*needs tls.certificateFile/],
    [
      'with a key of another certificate',
      'other',
      /tls.certificateFile: the key in .* is not that/,
    ],
    ['at a public address for all', 'open', /allowFrom is not set/],
  ] as const)('does not start %s', async (_why, what, message) => {
    const other = await authority.sign()
    const address = what === 'open' ? '0.0.0.0' : '127.0.0.1'
    const args = ['serve', '--listen', `tls://${address}:${await freePort()}`]
    const keyFile = what === 'other' ? other.keyFile : identity.keyFile
    const environment = {
      NIVEAU3_TLS__CERTIFICATE_FILE: identity.certificateFile,
      NIVEAU3_TLS__KEY_FILE: keyFile,
    }
    const env = typeof what === 'string' ? environment : {}
    const { code, stderr } = await runNiveau3(args, { env })
    expect([code, stderr]).toEqual([4, expect.stringMatching(message)])
  })
})

describe('a real Unbound as encrypted upstream', () => {
  test.each(['tls', 'https'] as const)('is asked over %s', async (protocol) => {
    const unbound = await startUnbound({ identity })
    const url =
      protocol === 'tls'
        ? `tls://${NAME}@127.0.0.1:${unbound.tlsPort}`
        : `https://${NAME}:${unbound.httpsPort}/dns-query#127.0.0.1`
    const server = await startNiveau3({
      config: `tls: {caFile: ${authority.certificateFile}}`,
      upstreams: [url],
    })
    for (const [name, type, count] of [
      ['example.com', 'A', 1],
      ['many.example.com', 'A', 3],
      ['chain1.example.com', 'A', 4],
      ['unknown.example.com', 'TYPE666', 1],
    ] as const) {
      expect((await askUdp(server, name, type, { edns: {} })).answers).toHaveLength(count)
    }
    expect((await askUdp(server, 'nowhere.example.com')).rcode).toBe('NXDOMAIN')
    const labels = { upstream: url }
    expect(await server.metric('niveau3_upstream_queries_total', labels)).toBe(5)
    expect(await server.metric('niveau3_upstream_responses_total', labels)).toBe(5)
    const kdig = await runToEnd(await program('kdig'), [
      '@127.0.0.1',
      '-p',
      String(server.port),
      'large.example.com',
      'TXT',
      '+tcp',
    ])
    expect(kdig.stdout).toMatch(/Received 4\d\d\d B/)
  })
})
