import { expect, test } from 'vitest'
import { sampleOf } from './niveau3.ts'

const TEXT = `# HELP niveau3_dns_queries_total Queries received.
# TYPE niveau3_dns_queries_total counter
niveau3_dns_queries_total{proto="udp",family="4",type="A"} 12
niveau3_dns_queries_total{proto="tcp",family="4",type="A"} 3
niveau3_filter_memory_bytes 5.5e+06
`

test('a sample is found by its labels in any order', () => {
  const labels = { type: 'A', proto: 'tcp', family: '4' }
  expect(sampleOf(TEXT, 'niveau3_dns_queries_total', labels)).toBe(3)
  expect(sampleOf(TEXT, 'niveau3_filter_memory_bytes', {})).toBe(5_500_000)
})

test('a sample with other labels, or more of them, is not it', () => {
  expect(sampleOf(TEXT, 'niveau3_dns_queries_total', { type: 'A' })).toBe(0)
  expect(sampleOf(TEXT, 'niveau3_dns_queries', {})).toBe(0)
})
