/** Routers that are set in a browser: what goes into which field, row by row. */

import { DOH_IPV4, DOH_IPV6 } from './doh-addresses.ts'
import {
  COMMON_NOTES,
  SAME_NETWORK_NOTE,
  resolversOf,
  type RouterRecipe,
  type RouterRequest,
} from './request.ts'

/** pfSense 2.7 and OPNsense 24: the same rows, with other words where they differ. */
export function pfsenseRecipe(request: RouterRequest): RouterRecipe {
  const lan = request.lan[0] ?? 'LAN'
  const rows = resolversOf(request).flatMap((address) => forward(request, lan, address))
  return {
    title: 'pfSense and OPNsense: in this order in the web interface',
    text: [
      '1. Firewall > Aliases > add',
      '   Name niveau3_doh, type Network(s), content:',
      ...[...DOH_IPV4, ...DOH_IPV6].map((address) => `     ${address}`),
      '   Name niveau3, type Host(s), content:',
      ...resolversOf(request).map((address) => `     ${address}`),
      ...rows,
      `3. Firewall > Rules > ${lan} > add, above the rule that lets ${lan} out`,
      '   a. Action Pass, source niveau3, destination any (the resolver itself)',
      '   b. Action Reject, TCP/UDP, IPv4+IPv6, source any, destination any, port 853',
      '   c. Action Reject, TCP/UDP, IPv4+IPv6, source any, destination ! niveau3, port 53',
      '   d. Action Reject, TCP/UDP, IPv4+IPv6, source any, destination niveau3_doh, port 443',
      '4. Services > DHCP Server: DNS servers',
      ...resolversOf(request).map((address) => `     ${address}`),
      '5. Diagnostics > States > Reset States',
      '',
    ].join('\n'),
    notes: [...(request.isSameNetwork ? [SAME_NETWORK_NOTE] : []), ...COMMON_NOTES],
  }
}

function forward(request: RouterRequest, lan: string, address: string): readonly string[] {
  const family = address.includes(':') ? 'IPv6' : 'IPv4'
  return [
    `2. Firewall > NAT > Port Forward (OPNsense: Destination NAT) > add, for ${family}`,
    `   Interface ${lan}, address family ${family}, protocol TCP/UDP`,
    '   Source: invert match, single host or alias niveau3',
    '   Destination: invert match, single host or alias niveau3; port 53 to 53',
    `   Redirect target IP ${address}, port 53`,
    '   Filter rule association: Pass',
    ...(request.isSameNetwork
      ? [
          `   Then Firewall > NAT > Outbound, mode Hybrid > add: interface ${lan}, ${family},`,
          `   TCP/UDP, source network of ${lan}, destination ${address}, port 53, translation:`,
          '   interface address',
        ]
      : []),
  ]
}

/** UniFi Network 9 on a gateway of its own. */
export function unifiRecipe(request: RouterRequest): RouterRecipe {
  const network = request.lan[0] ?? 'Default'
  return {
    title: 'UniFi Network 9: in this order in the web interface',
    text: [
      '1. Settings > Networks > ' + network + ' > DHCP > DNS Server: off "Auto", then',
      ...resolversOf(request).map((address) => `     ${address}`),
      '2. Settings > Profiles > Network Lists > create',
      '   Name niveau3-doh, type IPv4 address/subnet:',
      ...DOH_IPV4.map((address) => `     ${address}`),
      '   Name niveau3-doh6, type IPv6 address/subnet:',
      ...DOH_IPV6.map((address) => `     ${address}`),
      '3. Settings > Policy Engine > NAT > create',
      ...resolversOf(request).flatMap((address) => natRows(request, network, address)),
      '4. Settings > Policy Engine > Zone-Based Firewall > create, Internal to External',
      `   a. Allow, source ${resolversOf(request).join(', ')}, any destination (the resolver)`,
      '   b. Reject, any source, any destination, TCP/UDP, port 853',
      '   c. Reject, any source, destination not the resolver, TCP/UDP, port 53',
      '   d. Reject, any source, destination list niveau3-doh, TCP/UDP, port 443',
      '   e. Reject, any source, destination list niveau3-doh6, TCP/UDP, port 443',
      '',
    ].join('\n'),
    notes: [
      'The gateway has a "DNS Shield" and "Content Filtering" of its own: leave both off, or it ' +
        'answers instead of the resolver.',
      ...(request.isSameNetwork ? [SAME_NETWORK_NOTE] : []),
      ...COMMON_NOTES,
    ],
  }
}

function natRows(request: RouterRequest, network: string, address: string): readonly string[] {
  const family = address.includes(':') ? 'IPv6' : 'IPv4'
  return [
    `   Type Destination, ${family}, interface ${network}, protocol TCP and UDP`,
    `   Source: any except ${address}; destination: any except ${address}; port 53`,
    `   Translated IP ${address}, translated port 53`,
    ...(request.isSameNetwork
      ? [
          `   And: type Masquerade, ${family}, interface ${network}, protocol TCP and UDP,`,
          `   destination ${address}, port 53`,
        ]
      : []),
  ]
}
