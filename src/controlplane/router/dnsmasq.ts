/** A router whose own DNS and DHCP server is dnsmasq. */

import { SAME_NETWORK_NOTE, resolversOf, type RouterRecipe, type RouterRequest } from './request.ts'

/** Writes what is added to dnsmasq's configuration. */
export function dnsmasqRecipe(request: RouterRequest): RouterRecipe {
  const { ipv4, ipv6 } = request
  const interfaces = request.lan.map((name) => `interface=${name}\n`).join('')
  const dhcp = [
    ...(ipv4 === undefined ? [] : [`dhcp-option=option:dns-server,${ipv4}`]),
    ...(ipv6 === undefined ? [] : [`dhcp-option=option6:dns-server,[${ipv6}]`]),
  ]
  const text = `# niveau3: everything that dnsmasq does not know itself is asked there.
no-resolv
${interfaces}${resolversOf(request)
    .map((address) => `server=${address}`)
    .join('\n')}
# Devices ask the resolver themselves, so that it knows who belongs to which site.
${dhcp.join('\n')}
# The resolver keeps answers, and judges them again when a list changes; a cache here would not.
cache-size=0
edns-packet-max=1232
`
  return {
    title: 'dnsmasq: /etc/dnsmasq.d/niveau3.conf, then "systemctl restart dnsmasq"',
    text,
    notes: [
      'dnsmasq leads nobody who asks another resolver: load the rules of "niveau3 router nftables" ' +
        'beside it.',
      ...(request.isSameNetwork ? [SAME_NETWORK_NOTE] : []),
    ],
  }
}
