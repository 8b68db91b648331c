import { describe, expect, test } from 'vitest'
import { conforms } from '../conformance/conforms.ts'
import { startDataplane } from '../support/dataplane.ts'
import { askTcp, askUdp } from '../support/dns-client.ts'
import { answerAddresses, startScriptedUpstream } from '../support/scripted-upstream.ts'

const KEEPALIVE = { code: 11, data: Buffer.alloc(0) }
const PADDING = { code: 12, data: Buffer.alloc(100) }

/** Asks for a blocked, a forwarded, a cached and a refused name. */
const ASKED = [
  { name: 'blocked.example', class: 'IN' },
  { name: 'www.example.com', class: 'IN' },
  { name: 'www.example.com', class: 'IN' },
  { name: 'version.bind', class: 'CH' },
] as const

async function start() {
  const upstream = await startScriptedUpstream(answerAddresses)
  const rules = { adult: ['blocked.example'] }
  return startDataplane({ upstreams: [upstream], rules, limits: { tcpIdleMs: 7300 } })
}

describe('the keepalive option', () => {
  test('is never sent over UDP', async () => {
    conforms('keepalive')
    const server = await start()
    for (const { name, class: questionClass } of ASKED) {
      const options = { class: questionClass, edns: { options: [KEEPALIVE] } }
      expect(
        (await askUdp(server, name, 'A', options)).edns?.options.map(({ code }) => code),
      ).not.toContain(11)
    }
  })

  test('tells over TCP how long an idle connection lives, to who asks', async () => {
    conforms('keepalive')
    const server = await start()
    for (const { name, class: questionClass } of ASKED) {
      const options = { class: questionClass, edns: { options: [KEEPALIVE] } }
      const told = (await askTcp(server, name, 'A', options)).edns?.options.find(
        ({ code }) => code === 11,
      )
      expect(Buffer.from(told!.data).readUInt16BE(0)).toBe(73)
      const unasked = await askTcp(server, name, 'A', { class: questionClass, edns: {} })
      expect(unasked.edns?.options.map(({ code }) => code)).not.toContain(11)
    }
  })
})

test.each([
  { transport: 'UDP', ask: askUdp },
  { transport: 'TCP', ask: askTcp },
])('a reply in clear text over $transport is not padded', async ({ ask }) => {
  conforms('padding')
  const server = await start()
  for (const { name, class: questionClass } of ASKED) {
    const options = { class: questionClass, edns: { options: [PADDING] } }
    const reply = await ask(server, name, 'A', options)
    expect(reply.edns?.options.map(({ code }) => code)).not.toContain(12)
  }
})
