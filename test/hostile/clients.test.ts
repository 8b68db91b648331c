import { test } from 'vitest'
import { conforms } from '../conformance/conforms.ts'
import { describeRun, expectFlat, expectServed, runHostile } from '../support/hostile-suite.ts'
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
    mutations: { count: 24_000, perSecondMax: 8000 },
    slow: { count: 100, perSecondMax: 500 },
    leaving: { count: 200, perSecondMax: 100 },
    idle: { count: 300, perSecondMax: 300 },
    unread: { count: 10, perSecondMax: 10 },
    unreadQuestions: 2000,
    holdMs: 2000,
  })
  process.stdout.write(`${describeRun(result)}\n`)
  expectFlat(result, { liveMiB: 2, rssMiB: 16, descriptors: 16 })
  expectServed(result)
}, 180_000)
