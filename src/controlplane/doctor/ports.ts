/** Can the server have its ports, and if not, who has them? */

import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer } from 'node:net'
import type { ListenSettings } from '../../dataplane/settings.ts'
import { formatListen } from '../config/addresses.ts'
import { systemCode } from '../config/plain.ts'
import { failed, fine, warning, type Finding } from './finding.ts'
import { ownerOfPort, type PortOwner } from './port-owner.ts'

const PRIVILEGED_PORTS_END = 1024

/** Tries each address; the sockets are closed again at once. */
export async function lookAtPorts(listen: readonly ListenSettings[]): Promise<readonly Finding[]> {
  const findings = await Promise.all(listen.map(lookAtPort))
  return findings.flat()
}

async function lookAtPort(settings: ListenSettings): Promise<readonly Finding[]> {
  const protocols = settings.protocol === 'dns' ? (['udp', 'tcp'] as const) : (['tcp'] as const)
  const findings = await Promise.all(
    protocols.map(async (protocol) => {
      const code = await bind(protocol, settings)
      const what = `${formatListen(settings)} over ${protocol.toUpperCase()}`
      if (code === '') return fine('port', `${what} is free`)
      return refusal(what, code, protocol, settings.port)
    }),
  )
  return findings
}

function refusal(what: string, code: string, protocol: 'udp' | 'tcp', port: number): Finding {
  switch (code) {
    case 'EADDRINUSE':
      return inUse(what, ownerOfPort(protocol, port))
    case 'EACCES':
      return failed(
        'port',
        `${what} may not be bound by this user`,
        port < PRIVILEGED_PORTS_END
          ? 'start it as the packaged service, which has the capability for it, or allow it with ' +
              '"sysctl -w net.ipv4.ip_unprivileged_port_start=53"'
          : 'ask your system administrator which rule forbids it',
      )
    case 'EADDRNOTAVAIL':
      return failed(
        'port',
        `${what} is no address of this machine`,
        'compare "ip address" with the key listen in niveau3.yaml',
      )
    default:
      return failed('port', `${what} cannot be bound: ${code}`, 'see "ip address" and the log')
  }
}

/** The commands that free a port, by the name of who has it. */
const REMEDIES: Readonly<Record<string, string>> = {
  'systemd-resolve': 'systemd-resolved',
  dnsmasq: 'dnsmasq',
  named: 'named',
  unbound: 'unbound',
  'pihole-FTL': 'pihole-FTL',
  AdGuardHome: 'AdGuardHome',
}

/** Not whatever runs in a folder of that name. */
const OUR_SERVER = /(?:^|[\s/])(?:niveau3|dist\/bin\.js) serve(?:\s|$)/

function inUse(what: string, owner: PortOwner | undefined): Finding {
  if (owner === undefined) {
    return failed(
      'port',
      `${what} is in use by a process of another user`,
      'run this command as root: it names the process then ("ss -lunpt" does as well)',
    )
  }
  const { pid, name, commandLine } = owner
  if (OUR_SERVER.test(commandLine)) {
    return fine('port', `${what} is answered by niveau3 (process ${pid})`)
  }
  if (name === 'systemd-resolve') return resolved(what, pid)
  const unit = REMEDIES[name]
  return failed(
    'port',
    `${what} is in use by ${name} (process ${pid})`,
    unit === undefined
      ? `stop it ("systemctl status ${pid}" names its unit), or listen elsewhere`
      : `stop it: systemctl disable --now ${unit}; or listen elsewhere`,
  )
}

/** The listener of systemd-resolved holds 127.0.0.53:53, which a wildcard would need as well. */
function resolved(what: string, pid: number): Finding {
  return failed(
    'port',
    `${what} is in use by systemd-resolved (process ${pid}), which answers this machine itself`,
    'either listen on the address of the network alone (listen: ["10.20.0.53:53"]), or end its ' +
      "listener: mkdir -p /etc/systemd/resolved.conf.d && printf '[Resolve]\\nDNSStubListener=no\\n'" +
      ' > /etc/systemd/resolved.conf.d/niveau3.conf && ln -sf /run/systemd/resolve/resolv.conf ' +
      '/etc/resolv.conf && systemctl restart systemd-resolved',
  )
}

/** The code of the failure; empty when the port can be had. */
async function bind(protocol: 'udp' | 'tcp', { address, port }: ListenSettings): Promise<string> {
  const ipv6 = address.includes(':')
  try {
    if (protocol === 'udp') {
      const socket = createSocket({ type: ipv6 ? 'udp6' : 'udp4', ipv6Only: ipv6 })
      socket.bind(port, address)
      await once(socket, 'listening')
      socket.close()
      return ''
    }
    const server = createServer().listen({ port, host: address, ipv6Only: ipv6 })
    await once(server, 'listening')
    server.close()
    await once(server, 'close')
    return ''
  } catch (error) {
    return systemCode(error)
  }
}

/** Does whoever asks from outside get an answer? */
export function lookAtAccess(
  listen: readonly ListenSettings[],
  allowFrom: readonly string[],
): Finding {
  const open = allowFrom.filter((prefix) => Number(prefix.split('/')[1]) <= OPEN_BITS_MAX)
  if (open.length === 0) return fine('access', `${allowFrom.length} networks may ask`)
  const where = listen.map(formatListen).join(', ')
  return warning(
    'access',
    `clients of ${open.join(', ')} are answered on ${where}: an open resolver is used for attacks`,
    'name the networks of your centres in allowFrom, and close port 53 from outside in the firewall',
  )
}

/** Shorter prefixes than this are no network of a centre. */
const OPEN_BITS_MAX = 4
