/** PowerDNS Recursor: the list as a response policy zone in a file, one thread. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { program } from '../../../test/support/programs.ts'
import type { Command } from '../children.ts'
import { type Server, type Site, policyZone, versionOf } from './server.ts'

function settings({ folder, port, upstreamPort }: Site): string {
  return `
local-address=127.0.0.1
local-port=${port}
allow-from=127.0.0.0/8
daemon=no
write-pid=no
disable-syslog=yes
loglevel=3
quiet=yes
socket-dir=${folder}
hint-file=no
security-poll-suffix=
dont-query=
dnssec=off
forward-zones-recurse=.=127.0.0.1:${upstreamPort}
threads=1
pdns-distributes-queries=no
max-cache-entries=1000000
max-packetcache-entries=500000
max-tcp-clients=128
max-concurrent-requests-per-tcp-connection=100
lua-config-file=${join(folder, 'policy.lua')}
`
}

/** PowerDNS Recursor with a policy zone. */
export const recursor: Server = {
  key: 'recursor',
  title: 'PowerDNS Recursor',
  method: 'RPZ',
  role: 'peer',
  version: () => versionOf('pdns_recursor', ['--version'], /Recursor (\S+)/),
  async prepare(site): Promise<Command> {
    const zone = join(site.folder, 'policy.zone')
    await writeFile(zone, `$ORIGIN policy.bench.\n${policyZone(site.list.names)}`)
    await writeFile(
      join(site.folder, 'policy.lua'),
      `rpzFile("${zone}", { policyName = "bench" })\n`,
    )
    await writeFile(join(site.folder, 'recursor.conf'), settings(site))
    return { program: await program('pdns_recursor'), args: [`--config-dir=${site.folder}`] }
  },
}
