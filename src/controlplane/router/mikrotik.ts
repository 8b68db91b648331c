/** MikroTik RouterOS 7: commands for its terminal. */

import { DOH_IPV4, DOH_IPV6 } from './doh-addresses.ts'
import {
  COMMON_NOTES,
  SAME_NETWORK_NOTE,
  type RouterRecipe,
  type RouterRequest,
} from './request.ts'

const PROTOCOLS = ['udp', 'tcp'] as const

/** Writes the commands. */
export function mikrotikRecipe(request: RouterRequest): RouterRecipe {
  const list = request.lan[0] ?? 'LAN'
  const lines = [
    ...family('/ip', list, request.ipv4, request, DOH_IPV4),
    ...family('/ipv6', list, request.ipv6, request, DOH_IPV6),
  ]
  return {
    title: `RouterOS 7: paste into the terminal; "${list}" is the interface list of the clients`,
    text: `${lines.join('\n')}\n`,
    notes: [
      'Rules of "forward" stand above a rule that accepts what is established: "place-before=0".',
      'Take it back with: /ip firewall nat remove [find comment~"niveau3"], and likewise for ' +
        'filter, address-list and /ipv6.',
      ...(request.isSameNetwork ? [SAME_NETWORK_NOTE] : []),
      ...COMMON_NOTES,
    ],
  }
}

function family(
  menu: '/ip' | '/ipv6',
  list: string,
  resolver: string | undefined,
  { isSameNetwork }: RouterRequest,
  known: readonly string[],
): readonly string[] {
  const from = `in-interface-list=${list}`
  const note = 'comment="niveau3"'
  const own = menu === '/ip' || resolver === undefined ? resolver : `${resolver}/128`
  const notOwn = own === undefined ? '' : ` src-address=!${own} dst-address=!${own}`
  const to = menu === '/ip' ? `to-addresses=${resolver}` : `to-address=${resolver}/128`
  const nat = PROTOCOLS.flatMap((protocol) => [
    `${menu} firewall nat add chain=dstnat ${from} protocol=${protocol} dst-port=53${notOwn} ` +
      `action=dst-nat ${to} to-ports=53 ${note}`,
    ...(isSameNetwork
      ? [
          `${menu} firewall nat add chain=srcnat protocol=${protocol} dst-port=53 ` +
            `dst-address=${own} connection-nat-state=dstnat action=masquerade ${note}`,
        ]
      : []),
  ])
  const refuse = PROTOCOLS.flatMap((protocol) =>
    [`dst-port=53,853${notOwn}`, `dst-port=443 dst-address-list=niveau3-doh${notSource(own)}`].map(
      (what) =>
        `${menu} firewall filter add chain=forward ${from} protocol=${protocol} ${what} ` +
        `action=reject reject-with=${rejection(protocol)} place-before=0 ${note}`,
    ),
  )
  return [
    ...(resolver === undefined ? [] : nat),
    ...known.map(
      (address) => `${menu} firewall address-list add list=niveau3-doh address=${address} ${note}`,
    ),
    ...refuse,
  ]
}

function notSource(own: string | undefined): string {
  return own === undefined ? '' : ` src-address=!${own}`
}

/** IPv4 and IPv6 have the same word here. */
function rejection(protocol: 'udp' | 'tcp'): string {
  return protocol === 'tcp' ? 'tcp-reset' : 'icmp-port-unreachable'
}
