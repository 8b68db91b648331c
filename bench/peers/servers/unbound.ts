/** Unbound: one `local-zone` a name, sizes as its performance guide says for one thread. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { program } from '../../../test/support/programs.ts'
import type { Command } from '../children.ts'
import { type Server, type Site, versionOf } from './server.ts'

function configuration({ folder, port, upstreamPort }: Site): string {
  return `
server:
  directory: "${folder}"
  interface: 127.0.0.1
  port: ${port}
  do-ip6: no
  do-daemonize: no
  username: ""
  chroot: ""
  pidfile: ""
  logfile: ""
  use-syslog: no
  verbosity: 0
  access-control: 127.0.0.0/8 allow
  do-not-query-localhost: no
  module-config: "iterator"
  num-threads: 1
  msg-cache-slabs: 1
  rrset-cache-slabs: 1
  infra-cache-slabs: 1
  key-cache-slabs: 1
  msg-cache-size: 50m
  rrset-cache-size: 100m
  outgoing-range: 8192
  num-queries-per-thread: 4096
  so-rcvbuf: 4m
  so-sndbuf: 4m
  incoming-num-tcp: 100
  include: "${join(folder, 'zones.conf')}"
remote-control:
  control-enable: no
forward-zone:
  name: "."
  forward-addr: 127.0.0.1@${upstreamPort}
`
}

/** Unbound with local zones. */
export const unbound: Server = {
  key: 'unbound',
  title: 'Unbound',
  method: 'local-zone',
  role: 'peer',
  version: () => versionOf('unbound', ['-V'], /Version (\S+)/),
  async prepare(site): Promise<Command> {
    const zones = site.list.names.map((name) => `local-zone: "${name}." always_nxdomain\n`)
    await writeFile(join(site.folder, 'zones.conf'), zones.join(''))
    const file = join(site.folder, 'unbound.conf')
    await writeFile(file, configuration(site))
    return { program: await program('unbound'), args: ['-d', '-c', file], cwd: site.folder }
  },
}
