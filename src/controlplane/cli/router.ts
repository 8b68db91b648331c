/** `niveau3 router`: prints what a router is told, so that no client asks another resolver. */

import { Argument, type Command } from 'commander'
import { dnsmasqRecipe } from '../router/dnsmasq.ts'
import { pfsenseRecipe, unifiRecipe } from '../router/forms.ts'
import { mikrotikRecipe } from '../router/mikrotik.ts'
import { nftablesRecipe } from '../router/nftables.ts'
import { openwrtRecipe } from '../router/openwrt.ts'
import { readRequest, type RouterRecipe, type RouterRequest } from '../router/request.ts'
import { collect, finish, printJson, type Cli } from './cli.ts'

const VENDORS: Readonly<Record<string, (request: RouterRequest) => RouterRecipe>> = {
  openwrt: openwrtRecipe,
  mikrotik: mikrotikRecipe,
  pfsense: pfsenseRecipe,
  opnsense: pfsenseRecipe,
  unifi: unifiRecipe,
  nftables: nftablesRecipe,
  dnsmasq: dnsmasqRecipe,
}

interface Options {
  readonly resolver: readonly string[]
  readonly lan?: readonly string[]
  readonly sameNetwork?: boolean
  readonly json?: boolean
}

/** Adds the command. */
export function addRouter(program: Command, { terminal }: Cli): void {
  const command = program
    .command('router')
    .description('print the recipe for a router: lead port 53 here, refuse the ways around')
    .addArgument(new Argument('<vendor>', 'the router').choices(Object.keys(VENDORS)))
    .requiredOption(
      '--resolver <addr>',
      'address of this resolver; once for IPv4, once for IPv6',
      collect,
    )
    .option('--lan <iface>', 'interface, zone or list of the clients, repeatable', collect)
    .option('--same-network', "the resolver is in the clients' own network")
    .action((vendor: string, { resolver, lan = [], sameNetwork, json }: Options) => {
      const request = readRequest(resolver, lan, sameNetwork === true)
      const { title, text, notes } = VENDORS[vendor]!(request)
      if (json) {
        printJson(terminal, 'router', { vendor, ...request, title, text, notes })
        return
      }
      // Data can be piped into a file or a shell; what people have to know stands beside it.
      terminal.out(text)
      terminal.err([title, ...notes].map((line) => `# ${line}\n`).join(''))
    })
  finish(command, [
    'niveau3 router openwrt --resolver 10.20.0.53 --resolver fd00:20::53',
    'niveau3 router nftables --resolver 10.20.0.53 --lan br-lan --same-network > niveau3.nft',
  ])
}
