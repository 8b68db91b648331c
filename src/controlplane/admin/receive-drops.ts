/**
 * Queries that the kernel threw away because nobody read them in time: `/proc/self/net/udp`
 * counts them for each socket. No other counter of ours can see them.
 */
import { readFileSync } from 'node:fs'
import { endianness } from 'node:os'
import type { Endpoint } from '../../dataplane/settings.ts'
import { SOCKADDR_IN_OCTETS, IPV4_AT, IPV6_AT } from '../../sys/socket-address.ts'
import { SOCKADDR_IN6_OCTETS, writeSocketAddress } from '../../sys/socket-address.ts'

/** `sl local remote st queues timer retransmits uid timeout inode ref pointer drops` */
const COLUMN_LOCAL = 1
const COLUMN_INODE = 9
const COLUMN_DROPS = 12
const WORD_OCTETS = 4

/** Reads the kernel's table anew for every scrape; where there is none, nothing is counted. */
export class ReceiveDrops {
  readonly #tables: readonly string[]
  /** Drops of each socket at the last look, by inode. */
  #bySocket = new Map<string, number>()
  /** Of sockets that are no more: a counter never goes back. */
  #gone = 0

  /**
   * @param tables files with one line a socket; what cannot be read counts nothing. `/proc/net` is
   *   a link to `self/net` that a service may be denied (systemd's ProcSubset=pid)
   */
  constructor(tables: readonly string[] = ['/proc/self/net/udp', '/proc/self/net/udp6']) {
    this.#tables = tables
  }

  /** Returns the drops so far at the sockets of these addresses, all workers together. */
  total(endpoints: readonly Endpoint[]): number {
    const addresses = new Set(endpoints.map(kernelTextOf))
    const now = new Map<string, number>()
    for (const table of this.#tables) {
      for (const line of readTable(table).split('\n')) {
        const columns = line.trim().split(/\s+/)
        if (!addresses.has(columns[COLUMN_LOCAL] ?? '')) continue
        now.set(columns[COLUMN_INODE] ?? '', Number(columns[COLUMN_DROPS]))
      }
    }
    for (const [socket, drops] of this.#bySocket) if (!now.has(socket)) this.#gone += drops
    this.#bySocket = now
    return [...now.values()].reduce((sum, drops) => sum + drops, this.#gone)
  }
}

function readTable(file: string): string {
  try {
    return readFileSync(file, 'latin1')
  } catch {
    return ''
  }
}

/** Address and port as the kernel prints them: words of the host's order, in hexadecimal. */
function kernelTextOf({ address, port }: Endpoint): string {
  const octets = new Uint8Array(SOCKADDR_IN6_OCTETS)
  const ipv4 = writeSocketAddress(octets, address, port) === SOCKADDR_IN_OCTETS
  const from = ipv4 ? IPV4_AT : IPV6_AT
  const words: string[] = []
  for (let at = from; at < from + (ipv4 ? 1 : WORD_OCTETS) * WORD_OCTETS; at += WORD_OCTETS) {
    const word = [...octets.subarray(at, at + WORD_OCTETS)]
    if (endianness() === 'LE') word.reverse()
    words.push(Buffer.from(word).toString('hex').toUpperCase())
  }
  return `${words.join('')}:${port.toString(16).toUpperCase().padStart(4, '0')}`
}
