import { expect, test } from 'vitest'
import { conforms } from '../conformance/conforms.ts'
import { exchangeUdp, openUdp } from '../support/dns-client.ts'
import { encodeQuery } from '../support/messages.ts'
import { startNiveau3 } from '../support/niveau3.ts'
import { header, join, name, u16 } from '../support/octets.ts'
import { answerAddresses, startScriptedUpstream } from '../support/scripted-upstream.ts'

/** Labels that would end a line, colour a terminal or close a string of JSON. */
const LABELS = [
  'new\nline',
  'escape\u001b[31m',
  'quote"},{',
  'per%cent',
  '<script>',
  'tele\u0007bell',
]

test('whatever names are asked, the log has one event a line, and neither name nor client in it', async () => {
  conforms('log-injection', 'privacy')
  const upstream = await startScriptedUpstream(answerAddresses)
  const server = await startNiveau3({
    upstreams: [upstream],
    blocklists: { adult: ['secretly-blocked.example'] },
  })
  for (const label of LABELS) {
    const question = join(name(`${label}.secretly-asked.example`), u16(1), u16(1))
    await exchangeUdp(server, join(header(), question))
  }
  await exchangeUdp(server, encodeQuery('secretly-blocked.example'))
  await exchangeUdp(server, encodeQuery('secretly-asked.example', 'TYPE251'))
  const client = await openUdp(server)
  await client.send(encodeQuery('secretly-asked.example'))
  await client.next()
  server.process.signal('SIGHUP')
  await server.process.line(/"event":"reloaded"/)
  await server.stop()
  const lines = server.process.output().trim().split('\n')
  expect(lines.length).toBeGreaterThan(3)
  for (const line of lines) expect(JSON.parse(line)).toHaveProperty('event')
  expect(lines.filter((line) => /secretly-(asked|blocked)/.test(line))).toEqual([])
  expect(lines.filter((line) => line.includes(String(client.port)))).toEqual([])
  await client.close()
})
