import { connect as connectHttp2 } from 'node:http2'
import type { Socket } from 'node:net'
import { duplexPair } from 'node:stream'
import { connect as connectTls } from 'node:tls'
import { expect, test } from 'vitest'
import { Client } from '../../src/dataplane/client.ts'
import { FAMILY_IPV4, PROTO_HTTPS, createCounters } from '../../src/dataplane/counters.ts'
import { HttpsProtocol } from '../../src/dataplane/transport/https-protocol.ts'
import type { StreamContext } from '../../src/dataplane/transport/stream-connection.ts'
import { createAuthority } from '../support/certificates.ts'
import { makeSettings } from '../support/dataplane.ts'
import { askHttp2 } from '../support/https-client.ts'

test('a connection that ends late takes nothing from a new one of the same port', async () => {
  const authority = await createAuthority()
  const identity = await authority.sign({ names: ['DNS:dns.example'] })
  const { limits } = makeSettings({})
  const counters = createCounters()
  const protocol = new HttpsProtocol(
    { ...identity, ticketKeys: Buffer.alloc(48) },
    limits,
    counters,
  )
  const context = { counters, limits, forget: () => {} } as unknown as StreamContext
  // Ends of a pipe have no address, so all have the same one.
  const open = (end: unknown): void => {
    const client = new Client(PROTO_HTTPS, FAMILY_IPV4)
    protocol.openConnection(end as Socket, '192.0.2.1', client, context)
  }
  const [, old] = duplexPair()
  const [near, far] = duplexPair()
  open(old)
  open(far)
  const closed = new Promise((resolve) => old.once('close', resolve))
  old.destroy()
  await closed
  const session = connectHttp2('https://dns.example', {
    createConnection: () =>
      connectTls({
        socket: near,
        ca: authority.certificate,
        servername: 'dns.example',
        ALPNProtocols: ['h2'],
      }),
  })
  session.on('error', () => {})
  expect((await askHttp2(session, { ':method': 'GET', ':path': '/' })).status).toBe(404)
  session.destroy()
})
