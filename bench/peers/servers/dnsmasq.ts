/** dnsmasq: one `local` line a name. It has one thread, and a process for each TCP connection. */
import { writeFile } from 'node:fs/promises'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { program } from '../../../test/support/programs.ts'
import type { Command } from '../children.ts'
import { type Server, type Site, versionOf } from './server.ts'

function configuration({ folder, port, upstreamPort }: Site): string {
  return `
port=${port}
listen-address=127.0.0.1
bind-interfaces
user=${userInfo().username}
pid-file=
no-resolv
no-poll
no-hosts
server=127.0.0.1#${upstreamPort}
cache-size=50000
dns-forward-max=1000
conf-file=${join(folder, 'local.conf')}
`
}

/** dnsmasq with local domains. */
export const dnsmasq: Server = {
  key: 'dnsmasq',
  title: 'dnsmasq',
  method: 'local=/name/',
  role: 'peer',
  leavesOut: {
    tcp: 'it closes a connection after 100 queries, and those pipelined behind them are lost',
  },
  version: () => versionOf('dnsmasq', ['--version'], /version (\S+)/),
  async prepare(site): Promise<Command> {
    const lines = site.list.names.map((name) => `local=/${name}/\n`)
    await writeFile(join(site.folder, 'local.conf'), lines.join(''))
    const file = join(site.folder, 'dnsmasq.conf')
    await writeFile(file, configuration(site))
    return { program: await program('dnsmasq'), args: ['--keep-in-foreground', '-C', file] }
  },
}
