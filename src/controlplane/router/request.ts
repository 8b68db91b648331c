/** What a router recipe is written for, and what every recipe is made of. */

import { isIP, isIPv4 } from 'node:net'
import { OperationalError } from '../../base/errors.ts'

/** What the operator says about the network. */
export interface RouterRequest {
  /** Address of the resolver that IPv4 clients are led to. */
  readonly ipv4: string | undefined
  readonly ipv6: string | undefined
  /** Interfaces (or zones, lists) behind which the clients are. */
  readonly lan: readonly string[]
  /**
   * The resolver is in the clients' own network. Its replies would not pass the router, and clients
   * refuse those from an address that they did not ask: the router asks in its own name then.
   */
  readonly isSameNetwork: boolean
}

/** A recipe: where it is entered, and the text. */
export interface RouterRecipe {
  /** What the text is, and where it goes. */
  readonly title: string
  readonly text: string
  /** What the recipe cannot do, or what is to be looked at afterwards. */
  readonly notes: readonly string[]
}

/** Of a Linux device, an OpenWrt zone, a RouterOS list: nothing that a shell would read. */
const INTERFACE = /^[A-Za-z0-9][A-Za-z0-9_.@-]{0,30}$/

/**
 * Reads the operator's words.
 *
 * @throws OperationalError ERR_USAGE for what is no address or no name of an interface: recipes are
 *   pasted into shells
 */
export function readRequest(
  resolvers: readonly string[],
  lan: readonly string[],
  isSameNetwork: boolean,
): RouterRequest {
  for (const address of resolvers) {
    if (isIP(address) !== 0 && !address.includes('%')) continue
    throw new OperationalError(
      'ERR_USAGE',
      `--resolver: "${address}" is no address; write 10.20.0.53 or fd00:20::53, without a port`,
    )
  }
  for (const name of lan) {
    if (INTERFACE.test(name)) continue
    throw new OperationalError('ERR_USAGE', `--lan: "${name}" is no name of an interface`)
  }
  const ipv4 = resolvers.filter((address) => isIPv4(address))
  const ipv6 = resolvers.filter((address) => !isIPv4(address))
  if (ipv4.length > 1 || ipv6.length > 1 || resolvers.length === 0) {
    throw new OperationalError(
      'ERR_USAGE',
      '--resolver: give one IPv4 address, one IPv6 address, or one of each; two boxes share an ' +
        'address (deploy/ha)',
    )
  }
  return { ipv4: ipv4[0], ipv6: ipv6[0], lan, isSameNetwork }
}

/** The addresses that were given. */
export function resolversOf({ ipv4, ipv6 }: RouterRequest): readonly string[] {
  return [ipv4, ipv6].filter((address) => address !== undefined)
}

/** True things about every recipe. */
export const COMMON_NOTES: readonly string[] = [
  'DNS over HTTPS hides among other pages: names are blocked by the lists, known addresses here. ' +
    'No list of them is complete.',
  'Keep 443/UDP open in general: video and many pages use it.',
]

/** What has to be said where the router asks in its own name. */
export const SAME_NETWORK_NOTE =
  "Led queries reach the resolver from the router's address: sites and rates by client do not " +
  'hold for them. Hand the resolver out by DHCP, so that only those who go around are led.'
