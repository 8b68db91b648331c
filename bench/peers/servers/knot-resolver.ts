/** Knot Resolver: the list as a response policy zone, one process, its cache in memory. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { program } from '../../../test/support/programs.ts'
import type { Command } from '../children.ts'
import { type Server, type Site, packageRoot, policyZone, versionOf } from './server.ts'

function script({ folder, memoryFolder, port, upstreamPort }: Site): string {
  return `
net.listen('127.0.0.1', ${port}, { kind = 'dns' })
for _, name in ipairs({ 'ta_update', 'ta_signal_query', 'priming', 'detect_time_skew' }) do
  modules.unload(name)
end
trust_anchors.remove('.')
cache.open(100 * MB, 'lmdb://${memoryFolder}')
policy.add(policy.rpz(policy.DENY, '${join(folder, 'policy.zone')}', false))
policy.add(policy.all(policy.FORWARD('127.0.0.1@${upstreamPort}')))
`
}

/**
 * kresd reads its Lua modules from a folder that was fixed when it was compiled. Where the package
 * is unpacked and not installed, it runs in a mount namespace of its own that shows the unpacked
 * tree over /usr: the machine's /usr stays as it is.
 */
async function command(args: readonly string[]): Promise<Command> {
  const launcher = await program('kresd')
  const root = await packageRoot(launcher)
  if (root === undefined) return { program: launcher, args }
  const mount = 'mount -t overlay overlay -o "lowerdir=$1/usr:/usr" /usr && shift && exec "$@"'
  return {
    program: 'unshare',
    args: ['--map-root-user', '--mount', 'sh', '-c', mount, 'sh', root, launcher, ...args],
  }
}

/** Knot Resolver with a policy zone. */
export const knotResolver: Server = {
  key: 'knot-resolver',
  title: 'Knot Resolver',
  method: 'RPZ',
  role: 'peer',
  version: () => versionOf('kresd', ['--version'], /version (\S+)/),
  async prepare(site): Promise<Command> {
    await writeFile(join(site.folder, 'policy.zone'), policyZone(site.list.names))
    const file = join(site.folder, 'kresd.conf')
    await writeFile(file, script(site))
    return command(['-n', '-c', file, site.folder])
  },
}
