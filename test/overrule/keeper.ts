/** Keepers of rules and pauses on folders of their own, without a server. */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { afterAll } from 'vitest'
import { EssentialNames } from '../../src/controlplane/blocklist/essential.ts'
import { currentActor } from '../../src/controlplane/generations/audit.ts'
import { OverruleKeeper } from '../../src/controlplane/overrule/overrule-keeper.ts'

export const ME = currentActor('command')

const folders: string[] = []
afterAll(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true }))))

/** A state directory of its own, removed with the tests of the file. */
export async function stateFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'niveau3-overrule-'))
  folders.push(folder)
  return folder
}

/** Opens the keeper of a folder; what it logs is given to `said`. */
export function openKeeper(
  stateDirectory: string,
  {
    pauseSecondsMax = 14_400,
    said = [],
  }: { readonly pauseSecondsMax?: number; readonly said?: Record<string, unknown>[] } = {},
): Promise<OverruleKeeper> {
  const write = (line: string): number => said.push(JSON.parse(line) as Record<string, unknown>)
  return OverruleKeeper.open({
    stateDirectory,
    log: pino({ level: 'info' }, { write }),
    facts: () => ({
      essential: EssentialNames.of(['help.example', 'deep.parent.example']),
      categories: ['adult', 'vpn'],
      sites: ['lyon'],
    }),
    pauseSecondsMax: () => pauseSecondsMax,
  })
}

/** The lines of the audit log. */
export async function auditLines(folder: string): Promise<Record<string, unknown>[]> {
  const text = await readFile(join(folder, 'audit.ndjson'), 'utf8')
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>)
}
