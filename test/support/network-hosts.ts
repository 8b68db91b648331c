/**
 * Several hosts on networks of their own: network namespaces joined by wires and bridges, with no
 * way out of this machine. They end with the tests of the file. Needs root: a wire between two
 * namespaces of other users is not theirs to lay.
 */
import { openNetworkNamespace, type NetworkNamespace } from './network-namespace.ts'

/** One end of a wire: a host, the name of its interface, addresses with their prefix lengths. */
export interface WireEnd {
  readonly host: NetworkNamespace
  readonly name: string
  readonly addresses?: readonly string[]
}

/** Why hosts cannot be joined here; undefined when they can. */
export function whyNoHosts(): string | undefined {
  return process.getuid?.() === 0 ? undefined : 'joining network namespaces needs root'
}

/** Makes a host that passes packets on, or not. */
export async function openHost(isRouter = false): Promise<NetworkNamespace> {
  const host = await openNetworkNamespace()
  if (isRouter) {
    const settings = ['ipv4/ip_forward', 'ipv6/conf/all/forwarding']
    for (const setting of settings) {
      const { code, stderr } = await host.run('sh', '-c', `echo 1 > /proc/sys/net/${setting}`)
      if (code !== 0) throw new Error(`${setting}: ${stderr}`)
    }
  }
  return host
}

/** Lays a wire; both ends are up and have their addresses. */
export async function lay(near: WireEnd, far: WireEnd): Promise<void> {
  const peer = ['peer', 'name', far.name, 'netns', String(far.host.pid)]
  await near.host.ip('link', 'add', near.name, 'type', 'veth', ...peer)
  for (const end of [near, far]) {
    await address(end)
    await end.host.ip('link', 'set', end.name, 'up')
  }
}

/** Joins interfaces of a host to one network. */
export async function join({ host, name, addresses }: WireEnd, members: readonly string[]) {
  await host.ip('link', 'add', name, 'type', 'bridge')
  for (const member of members) await host.ip('link', 'set', member, 'master', name)
  await address({ host, name, addresses: addresses ?? [] })
  await host.ip('link', 'set', name, 'up')
}

async function address({ host, name, addresses = [] }: WireEnd): Promise<void> {
  for (const one of addresses) {
    // Nobody else is here: no need to wait for a look at duplicates.
    const flags = one.includes(':') ? ['nodad'] : []
    await host.ip('address', 'add', one, 'dev', name, ...flags)
  }
}
