/** What is on the disk: lists and their age, rights of files, the clock, the shared cache. */

import { accessSync, constants, statSync, type Stats } from 'node:fs'
import { DAY_S, SECOND_MS } from '../../base/units.ts'
import { createClient } from '../../dataplane/cache/redis-client.ts'
import type { LoadedConfig } from '../config/load.ts'
import { ListVersions } from '../generations/list-versions.ts'
import { loadSubscriptions } from '../generations/subscriptions.ts'
import { loadRedis } from '../redis/load-redis.ts'
import { programFile } from '../package-files.ts'
import { failed, fine, warning, type Finding } from './finding.ts'

const STALE_DAYS = 3
const OLD_DAYS = 10
const WRITABLE_BY_OTHERS = 0o002
const READABLE_BY_OTHERS = 0o004
const PING_MS_MAX = 3 * SECOND_MS

/** How old is what is served? */
export async function lookAtLists({ control }: LoadedConfig): Promise<readonly Finding[]> {
  if (!control.usesGenerations) return [fine('lists', 'the configuration names its own lists')]
  const { stateDirectory } = control
  const subscriptions =
    stateDirectory === undefined ? undefined : await loadSubscriptions(stateDirectory)
  if (stateDirectory === undefined || subscriptions === undefined) {
    return [
      warning(
        'lists',
        'only the lists that ship with the program are served',
        stateDirectory === undefined
          ? 'name a stateDirectory in niveau3.yaml, then run "niveau3 lists update"'
          : 'run "niveau3 lists update": it subscribes to the default set',
      ),
    ]
  }
  const enabled = subscriptions.filter((subscription) => subscription.enabled)
  return Promise.all(enabled.map(({ name }) => lookAtList(stateDirectory, name)))
}

async function lookAtList(stateDirectory: string, name: string): Promise<Finding> {
  const status = await new ListVersions(stateDirectory, name).status()
  const remedy = `run "niveau3 lists update ${name}": it says what stands in the way`
  if (status?.checkedAt === undefined) return failed('lists', `${name} was never fetched`, remedy)
  const days = (Date.now() - Date.parse(status.checkedAt)) / SECOND_MS / DAY_S
  const text = `${name} was last looked at ${days.toFixed(1)} days ago`
  if (days > OLD_DAYS) return failed('lists', text, remedy)
  if (days > STALE_DAYS || status.failures > 0) {
    const why = status.why === '' ? '' : ` (${status.why})`
    return warning('lists', `${text}, ${status.failures} failures since${why}`, remedy)
  }
  return fine('lists', text)
}

/** May the server write its state, and nobody else what it reads? */
export function lookAtRights({ file, control }: LoadedConfig): readonly Finding[] {
  const findings: Finding[] = []
  if (file !== undefined) findings.push(unchangeable('configuration', file))
  const { stateDirectory, certificate, redis } = control
  if (stateDirectory !== undefined) findings.push(writable(stateDirectory))
  const secrets = [certificate?.keyFile, redis?.passwordFile, redis?.secretFile]
  for (const secret of secrets) if (secret !== undefined) findings.push(secretFile(secret))
  return findings
}

function unchangeable(what: string, file: string): Finding {
  const mode = statOf(file)?.mode ?? 0
  if ((mode & WRITABLE_BY_OTHERS) === 0) return fine('rights', `${file} is changed by few`)
  return failed('rights', `the ${what} ${file} may be changed by everybody`, `chmod o-w ${file}`)
}

function writable(folder: string): Finding {
  const stats = statOf(folder)
  if (stats === undefined) return fine('rights', `${folder} is made at the first start`)
  if ((stats.mode & WRITABLE_BY_OTHERS) !== 0) {
    return failed('rights', `${folder} may be changed by everybody`, `chmod o-w ${folder}`)
  }
  try {
    accessSync(folder, constants.W_OK)
    return fine('rights', `${folder} can be written`)
  } catch {
    return warning(
      'rights',
      `${folder} cannot be written by this user`,
      `run this command as the user of the server, or: chown -R USER ${folder}`,
    )
  }
}

function secretFile(file: string): Finding {
  const mode = statOf(file)?.mode ?? 0
  if ((mode & READABLE_BY_OTHERS) === 0) return fine('rights', `${file} is read by few`)
  return failed('rights', `the secret ${file} may be read by everybody`, `chmod 600 ${file}`)
}

function statOf(path: string): Stats | undefined {
  return statSync(path, { throwIfNoEntry: false })
}

/** A clock that is wrong breaks TLS, cookies and the age of lists. */
export function lookAtClock(now = Date.now()): Finding {
  const built = statOf(programFile('bin.js'))?.mtimeMs ?? 0
  const time = new Date(now).toISOString()
  if (now < built - DAY_S * SECOND_MS) {
    return failed(
      'clock',
      `the clock says ${time}, which is before this program was made`,
      'set it and keep it: timedatectl set-ntp true',
    )
  }
  if (statOf('/run/systemd/timesync/synchronized') !== undefined) {
    return fine('clock', `the clock says ${time}, and systemd-timesyncd keeps it`)
  }
  const isKept = ['/run/chrony', '/run/ntpd.pid', '/run/ntp'].some((path) => statOf(path))
  if (isKept) return fine('clock', `the clock says ${time}, and a time server keeps it`)
  return warning(
    'clock',
    `the clock says ${time}, and nothing seen here keeps it right`,
    'timedatectl set-ntp true; a virtual machine may leave it to its host',
  )
}

/** Does the shared cache answer? Nobody waits for it if not. */
export async function lookAtRedis({ control }: LoadedConfig): Promise<Finding> {
  const { redis, stateDirectory } = control
  if (redis === undefined) return fine('redis', 'no shared cache is configured')
  const settings = await loadRedis(redis, stateDirectory)
  const client = createClient(settings, () => PING_MS_MAX)
  // Without a listener an error of the connection would end the process.
  let why = 'no answer within 3 s'
  client.on('error', (error: Error) => (why = error.message))
  const startedMs = performance.now()
  let timer: NodeJS.Timeout | undefined
  try {
    const late = new Promise<false>((resolve) => {
      timer = setTimeout(() => resolve(false), PING_MS_MAX)
    })
    const ready = new Promise<true>((resolve) => client.once('ready', () => resolve(true)))
    if (await Promise.race([ready, late])) {
      await client.ping()
      return fine(
        'redis',
        `the shared cache answers, ${(performance.now() - startedMs).toFixed(1)} ms`,
      )
    }
  } catch (error) {
    why = error instanceof Error ? error.message : String(error)
  } finally {
    clearTimeout(timer)
    client.disconnect()
  }
  return warning(
    'redis',
    `the shared cache does not answer: ${why}`,
    'clients notice nothing, each box learns alone; see deploy/redis.md for the ACL rule and the URL',
  )
}
