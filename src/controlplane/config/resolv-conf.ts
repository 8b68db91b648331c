/** The nameservers of resolv.conf(5): upstreams when none is configured. */

import { readFileSync } from 'node:fs'
import type { UpstreamSettings } from '../../dataplane/settings.ts'
import { DNS_PORT, isWildcard, parseAddress } from './addresses.ts'

export const RESOLV_CONF_FILE = '/etc/resolv.conf'
/** glibc reads three; a file with more is read a little further. */
const NAMESERVERS_MAX = 8

/**
 * Returns the nameservers in their order, those of `isOurs` left out: asking ourselves would be a
 * loop. A missing or unreadable file means none.
 */
export function readNameservers(
  file: string,
  isOurs: (address: string, port: number) => boolean,
): readonly UpstreamSettings[] {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch {
    return []
  }
  const found = new Map<string, UpstreamSettings>()
  for (const line of text.split('\n')) {
    const label = /^\s*nameserver\s+(\S+)/.exec(line)?.[1]
    const address = label === undefined ? undefined : parseAddress(label)
    if (label === undefined || typeof address !== 'string' || isWildcard(address)) continue
    if (isOurs(address, DNS_PORT) || found.size >= NAMESERVERS_MAX) continue
    found.set(address, {
      protocol: 'udp',
      address,
      port: DNS_PORT,
      serverName: '',
      path: '',
      label,
    })
  }
  return [...found.values()]
}
