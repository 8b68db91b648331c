/** smartdns: the list as a domain set, speed tests and prefetching off. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { program } from '../../../test/support/programs.ts'
import type { Command } from '../children.ts'
import { type Server, type Site, versionOf } from './server.ts'

function configuration({ folder, port, upstreamPort, list }: Site): string {
  return `
bind 127.0.0.1:${port}
bind-tcp 127.0.0.1:${port}
server 127.0.0.1:${upstreamPort}
cache-size 100000
cache-persist no
prefetch-domain no
serve-expired no
speed-check-mode none
dualstack-ip-selection no
log-level fatal
log-file ${join(folder, 'smartdns.log')}
domain-set -name bench -file ${list.file}
address /domain-set:bench/#
`
}

/** smartdns with a domain set. */
export const smartdns: Server = {
  key: 'smartdns',
  title: 'smartdns',
  method: 'domain-set',
  role: 'peer',
  version: () => versionOf('smartdns', ['-v'], /smartdns (\S+)/i),
  async prepare(site): Promise<Command> {
    const file = join(site.folder, 'smartdns.conf')
    await writeFile(file, configuration(site))
    return { program: await program('smartdns'), args: ['-f', '-c', file, '-p', '-'] }
  },
}
