/** A router that is a Linux machine: nftables, beside whatever other tables it has. */

import { DOH_IPV4, DOH_IPV6 } from './doh-addresses.ts'
import {
  COMMON_NOTES,
  SAME_NETWORK_NOTE,
  resolversOf,
  type RouterRecipe,
  type RouterRequest,
} from './request.ts'

/** Writes the rules; `nft -f` takes them, again and again. */
export function nftablesRecipe(request: RouterRequest): RouterRecipe {
  const lan = request.lan.length === 0 ? ['br-lan'] : request.lan
  const text = `#!/usr/sbin/nft -f
# niveau3: clients are led to the resolver, whatever resolver they ask.
table inet niveau3
delete table inet niveau3

table inet niveau3 {
  set doh4 {
    type ipv4_addr
    flags interval
    elements = {
${elements(DOH_IPV4)}
    }
  }
  set doh6 {
    type ipv6_addr
    flags interval
    elements = {
${elements(DOH_IPV6)}
    }
  }

  chain lead {
    type nat hook prerouting priority dstnat; policy accept;
    iifname != { ${lan.map((name) => `"${name}"`).join(', ')} } accept
    meta l4proto != { tcp, udp } accept
    th dport != 53 accept
${addresses(request, (family, address) => `    ${family} saddr ${address} accept`)}
${addresses(request, (family, address) => `    ${family} daddr ${address} accept`)}
${addresses(request, (family, address) => `    meta nfproto ${nfproto(family)} meta l4proto { tcp, udp } dnat ${family} to ${bracketed(address)}:53`)}
  }
${request.isSameNetwork ? sameNetwork(request) : ''}
  chain around {
    type filter hook forward priority filter - 5; policy accept;
    iifname != { ${lan.map((name) => `"${name}"`).join(', ')} } accept
${addresses(request, (family, address) => `    ${family} saddr ${address} accept`)}
${addresses(request, (family, address) => `    ${family} daddr ${address} accept`)}
    meta l4proto { tcp, udp } th dport { 53, 853 } jump refuse
    ip daddr @doh4 meta l4proto { tcp, udp } th dport 443 jump refuse
    ip6 daddr @doh6 meta l4proto { tcp, udp } th dport 443 jump refuse
  }
  # Refused at once: who is dropped waits, and tries longer.
  chain refuse {
    meta l4proto tcp reject with tcp reset
    reject with icmpx port-unreachable
  }
}
`
  return {
    title: 'nftables: /etc/nftables.d/niveau3.nft, or "nft -f FILE"',
    text,
    notes: [...(request.isSameNetwork ? [SAME_NETWORK_NOTE] : []), ...COMMON_NOTES],
  }
}

/** Queries that were led, and no others: who asks the resolver directly keeps its address. */
function sameNetwork(request: RouterRequest): string {
  return `
  chain own_name {
    type nat hook postrouting priority srcnat; policy accept;
${addresses(request, (family, address) => `    ct status dnat ${family} daddr ${address} meta l4proto { tcp, udp } th dport 53 masquerade`)}
  }
`
}

type Family = 'ip' | 'ip6'

function addresses(
  request: RouterRequest,
  line: (family: Family, address: string) => string,
): string {
  return resolversOf(request)
    .map((address) => line(address.includes(':') ? 'ip6' : 'ip', address))
    .join('\n')
}

function nfproto(family: Family): string {
  return family === 'ip' ? 'ipv4' : 'ipv6'
}

function bracketed(address: string): string {
  return address.includes(':') ? `[${address}]` : address
}

function elements(list: readonly string[]): string {
  return list.map((address) => `      ${address},`).join('\n')
}
