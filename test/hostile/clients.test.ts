import { expect, test } from 'vitest'
import { conforms } from '../conformance/conforms.ts'
import { describeRun, runHostile } from '../support/hostile-suite.ts'
import { encodeQuery } from '../support/messages.ts'

/** Queries of many shapes; the packets of real clients are a suite of their own (test/data). */
const CORPUS = [
  encodeQuery('www.example.com'),
  encodeQuery('blocked.example', 'AAAA', { edns: { dnssecOk: true } }),
  encodeQuery('svc.example.com', 'HTTPS', {
    edns: { options: [{ code: 10, data: Buffer.alloc(8) }] },
  }),
  encodeQuery(`${'long.'.repeat(40)}example.com`, 'TXT', { edns: { udpOctets: 4096 } }),
  encodeQuery('chain1.example.com', 'ANY', { checkingDisabled: true }),
  encodeQuery('many.options.example', 'MX', {
    edns: {
      options: Array.from({ length: 40 }, (_, code) => ({ code, data: Buffer.alloc(code % 7) })),
    },
  }),
]

test('hostile clients harm nobody: not the server, not its accounts, not the honest ones', async () => {
  conforms('tcp-exhaustion', 'random-subdomains')
  const result = await runHostile({
    corpus: CORPUS,
    seed: 20_261_124,
    mutations: 12_000,
    mutationsPerSecond: 10_000,
    idleConnections: 300,
    slowConnections: 100,
    slowMs: 3000,
    floodConnections: 50,
    unreadConnections: 10,
    unreadQuestions: 2000,
  })
  process.stdout.write(`${describeRun(result)}\n`)
  for (const { attack, service, after } of result.observations) {
    expect(service.lost, `${attack}: answers lost`).toBe(0)
    expect(after.descriptors - result.before.descriptors, `${attack}: descriptors`).toBeLessThan(40)
    expect(after.rssMiB - result.before.rssMiB, `${attack}: MiB more`).toBeLessThan(48)
  }
}, 180_000)
