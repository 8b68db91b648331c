/**
 * dnsdist: the list as a SuffixMatchNode, a packet cache before one backend. Reading up to 64
 * datagrams per system call is off by default; on, it needs less CPU per query here.
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { program } from '../../../test/support/programs.ts'
import type { Command } from '../children.ts'
import { type Server, type Site, versionOf } from './server.ts'

function script({ port, upstreamPort, list }: Site): string {
  return `
setSecurityPollSuffix("")
setLocal("127.0.0.1:${port}", { maxInFlight = 1000 })
setACL("127.0.0.0/8")
newServer({ address = "127.0.0.1:${upstreamPort}" })
setMaxUDPOutstanding(65535)
setMaxTCPClientThreads(1)
setUDPMultipleMessagesVectorSize(64)
getPool(""):setCache(newPacketCache(500000, { maxTTL = 86400 }))
local blocked = newSuffixMatchNode()
for name in io.lines("${list.file}") do
  blocked:add(newDNSName(name))
end
addAction(SuffixMatchNodeRule(blocked), RCodeAction(DNSRCode.NXDOMAIN))
`
}

/** dnsdist with a set of suffixes. */
export const dnsdist: Server = {
  key: 'dnsdist',
  title: 'dnsdist',
  method: 'SuffixMatchNode + packet cache',
  role: 'peer',
  version: () => versionOf('dnsdist', ['--version'], /dnsdist (\S+)/),
  async prepare(site): Promise<Command> {
    const file = join(site.folder, 'dnsdist.conf')
    await writeFile(file, script(site))
    return {
      program: await program('dnsdist'),
      args: ['--supervised', '--disable-syslog', '-C', file],
    }
  },
}
