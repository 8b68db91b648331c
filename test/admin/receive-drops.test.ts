import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ReceiveDrops } from '../../src/controlplane/admin/receive-drops.ts'

const HEAD =
  '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops'
const ENDPOINTS = [
  { address: '127.0.0.1', port: 53 },
  { address: '2001:db8::53', port: 5300 },
]

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'niveau3-drops-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

/** One line as the kernel of a little-endian machine prints it. */
function line(local: string, inode: number, drops: number): string {
  const remote = local.length > 20 ? `${'0'.repeat(32)}:0000` : '00000000:0000'
  return `  123: ${local} ${remote} 07 00000000:00000000 00:00000000 00000000     0        0 ${inode} 2 0000000000000000 ${drops}`
}

async function tables(ipv4: readonly string[], ipv6: readonly string[]): Promise<string[]> {
  const files = [join(folder, 'udp'), join(folder, 'udp6')]
  await writeFile(files[0]!, `${[HEAD, ...ipv4].join('\n')}\n`)
  await writeFile(files[1]!, `${[HEAD, ...ipv6].join('\n')}\n`)
  return files
}

const IPV4 = '0100007F:0035'
const IPV6 = 'B80D0120000000000000000053000000:14B4'

test('the drops of all sockets of our addresses are added up, and no others', async () => {
  const ipv4 = [line(IPV4, 7, 2), line(IPV4, 8, 3), line('0200007F:0035', 9, 100)]
  const files = await tables([...ipv4, line('0100007F:14B4', 10, 100)], [line(IPV6, 11, 40)])
  expect(new ReceiveDrops(files).total(ENDPOINTS)).toBe(45)
})

test('a socket that is gone keeps its share, so that the counter never falls', async () => {
  const drops = new ReceiveDrops(await tables([line(IPV4, 7, 5)], []))
  expect(drops.total(ENDPOINTS)).toBe(5)
  await tables([line(IPV4, 12, 1)], [])
  expect(drops.total(ENDPOINTS)).toBe(6)
  await tables([line(IPV4, 12, 2)], [])
  expect(drops.total(ENDPOINTS)).toBe(7)
})

test('where the kernel has no such table, nothing is counted', () => {
  expect(new ReceiveDrops([join(folder, 'none')]).total(ENDPOINTS)).toBe(0)
})
