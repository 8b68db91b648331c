/** OpenWrt 21 and later: fw4 or fw3, written through uci. */

import { DOH_IPV4, DOH_IPV6 } from './doh-addresses.ts'
import {
  COMMON_NOTES,
  SAME_NETWORK_NOTE,
  resolversOf,
  type RouterRecipe,
  type RouterRequest,
} from './request.ts'

/** Writes the commands for the router's shell. */
export function openwrtRecipe(request: RouterRequest): RouterRecipe {
  const zones = request.lan.length === 0 ? ['lan'] : request.lan
  const lines = zones.flatMap((zone) => [
    ...resolversOf(request).flatMap((address) => lead(request, zone, address)),
    ...refuse(request, zone, 'dot', '53 853', []),
    ...refuse(request, zone, 'doh4', '443', DOH_IPV4),
    ...refuse(request, zone, 'doh6', '443', DOH_IPV6),
  ])
  const dhcp = resolversOf(request).map((address) =>
    address.includes(':')
      ? `uci add_list dhcp.lan.dns='${address}'`
      : `uci add_list dhcp.lan.dhcp_option='6,${address}'`,
  )
  return {
    title: 'OpenWrt: paste into the shell of the router (ssh)',
    text: [
      '# niveau3: clients are led to the resolver, whatever resolver they ask.',
      ...lines,
      '# Devices ask the resolver themselves.',
      ...dhcp,
      'uci commit firewall',
      'uci commit dhcp',
      'service firewall restart',
      'service dnsmasq restart',
      '',
    ].join('\n'),
    notes: [
      'Again after a change: first "uci show firewall | grep niveau3", and delete what is there.',
      ...(request.isSameNetwork ? [SAME_NETWORK_NOTE] : []),
      ...COMMON_NOTES,
    ],
  }
}

function lead(request: RouterRequest, zone: string, address: string): readonly string[] {
  const family = address.includes(':') ? 'ipv6' : 'ipv4'
  const name = `niveau3_lead_${plain(zone)}_${family}`
  const set = (key: string, value: string): string => `uci set firewall.${name}.${key}='${value}'`
  const redirect = [
    `uci set firewall.${name}=redirect`,
    set('name', `niveau3 leads ${family}`),
    set('family', family),
    set('src', zone),
    // The resolver's own questions go out as they are; those to it need no leading.
    set('src_ip', `!${address}`),
    set('src_dip', `!${address}`),
    set('src_dport', '53'),
    set('proto', 'tcp udp'),
    set('target', 'DNAT'),
    set('dest_ip', address),
    set('dest_port', '53'),
  ]
  if (!request.isSameNetwork) return redirect
  const nat = `niveau3_name_${plain(zone)}_${family}`
  return [
    ...redirect,
    `uci set firewall.${nat}=nat`,
    `uci set firewall.${nat}.name='niveau3 asks in its own name, ${family}'`,
    `uci set firewall.${nat}.family='${family}'`,
    `uci set firewall.${nat}.src='${zone}'`,
    `uci set firewall.${nat}.dest_ip='${address}'`,
    `uci set firewall.${nat}.dest_port='53'`,
    `uci set firewall.${nat}.proto='tcp udp'`,
    `uci set firewall.${nat}.target='MASQUERADE'`,
  ]
}

function refuse(
  request: RouterRequest,
  zone: string,
  what: string,
  ports: string,
  destinations: readonly string[],
): readonly string[] {
  const name = `niveau3_refuse_${plain(zone)}_${what}`
  const set = (key: string, value: string): string => `uci set firewall.${name}.${key}='${value}'`
  return [
    `uci set firewall.${name}=rule`,
    set('name', `niveau3 refuses ${what}`),
    set('src', zone),
    set('dest', 'wan'),
    set('proto', 'tcp udp'),
    set('dest_port', ports),
    ...resolversOf(request)
      .filter((address) => isSameFamily(address, destinations))
      .map((address) => `uci add_list firewall.${name}.src_ip='!${address}'`),
    ...destinations.map((address) => `uci add_list firewall.${name}.dest_ip='${address}'`),
    set('target', 'REJECT'),
  ]
}

function isSameFamily(address: string, destinations: readonly string[]): boolean {
  const [first] = destinations
  return first === undefined || first.includes(':') === address.includes(':')
}

/** A name of a uci section has letters, digits and underscores. */
function plain(zone: string): string {
  return zone.replaceAll(/\W/g, '_')
}
