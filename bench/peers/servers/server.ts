/** What the benchmark has to know about a server: how to prepare, start and recognise it. */
import { access } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type ProgramName, program } from '../../../test/support/programs.ts'
import { type Command, run } from '../children.ts'
import type { BlockList } from '../lists.ts'
import type { WorkloadKey } from '../workloads.ts'

/** Asking a program for its version takes at most this long. */
const VERSION_MS_MAX = 10_000

/** Where one server finds what it needs for one list. */
export interface Site {
  /** A folder of its own, on disk. */
  readonly folder: string
  /** A folder of its own in memory (tmpfs), for what a manual wants there. */
  readonly memoryFolder: string
  readonly port: number
  readonly upstreamPort: number
  readonly list: BlockList
}

/** One server of the comparison. */
export interface Server {
  /** As `--servers` names it. */
  readonly key: string
  readonly title: string
  /** How it is told to block, for the reader of the table. */
  readonly method: string
  /** `floor` does no DNS work and blocks nothing; `subject` is what the peers are compared with. */
  readonly role: 'floor' | 'peer' | 'subject'
  /** Workloads that it cannot run, each with the reason. */
  readonly leavesOut?: Partial<Readonly<Record<WorkloadKey, string>>>
  version(): Promise<string>
  /** Writes its files for one list, outside of all measuring; returns how to start it. */
  prepare(site: Site): Promise<Command>
}

/** Runs a program for its version and returns what the pattern's group matches. */
export async function versionOf(
  name: ProgramName,
  args: readonly string[],
  pattern: RegExp,
): Promise<string> {
  const text = await run(await program(name), args, VERSION_MS_MAX)
  const version = pattern.exec(text)?.[1]
  if (version === undefined) throw new Error(`${name} ${args.join(' ')} tells no version: ${text}`)
  return version
}

/**
 * Returns the tree that a program's package was unpacked into, or undefined for a program that is
 * installed on this machine.
 */
export async function packageRoot(launcher: string): Promise<string | undefined> {
  const root = join(dirname(dirname(launcher)), 'root')
  const isThere = await access(join(root, 'usr')).then(
    () => true,
    () => false,
  )
  return isThere ? root : undefined
}

/** A response policy zone that answers NXDOMAIN for every name of the list and all below. */
export function policyZone(names: readonly string[]): string {
  const head =
    '$TTL 60\n@ IN SOA localhost. root.localhost. 1 3600 600 86400 60\n@ IN NS localhost.\n'
  return head + names.map((name) => `${name} CNAME .\n*.${name} CNAME .\n`).join('')
}
