/**
 * Reads the files of the shared cache: the secret (made in the state directory where none is
 * given), passwords and the certificate authority. What it returns holds secrets and goes to the
 * workers only.
 */
import { hkdfSync, randomBytes } from 'node:crypto'
import { link, mkdir, open, readFile, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { OperationalError } from '../../base/errors.ts'
import type { RedisSettings } from '../../dataplane/settings.ts'
import type { RedisAddress } from '../config/redis-url.ts'

/** The shared cache as it is configured; files are absolute paths. */
export interface RedisConfiguration {
  readonly address: RedisAddress
  readonly passwordFile: string | undefined
  readonly sentinelPasswordFile: string | undefined
  readonly caFile: string | undefined
  readonly secretFile: string | undefined
  readonly prefix: string
  readonly hedgeMs: number
  readonly timeoutMs: number
  readonly hotNames: number
}

/** Name of the secret in the state directory. */
const SECRET_NAME = 'redis-secret'
const SECRET_OCTETS_MIN = 32
const KEY_OCTETS = 32
/** Mode bits of everybody but the owner and the group. */
const OTHERS = 0o007
const OWNER_ONLY = 0o600
/** No secret, password or certificate is longer. */
const FILE_OCTETS_MAX = 1024 * 1024

/**
 * Returns what the workers need.
 *
 * @param stateDirectory where the secret is made when no file is named.
 * @throws OperationalError ERR_SECRET for a secret or password that is missing, too short or
 *   readable by all.
 */
export async function loadRedis(
  configured: RedisConfiguration,
  stateDirectory: string | undefined,
): Promise<RedisSettings> {
  const { address, prefix, hedgeMs, timeoutMs, hotNames, caFile } = configured
  const secret = await readSecret(configured.secretFile, stateDirectory)
  const derive = (purpose: string): Uint8Array =>
    new Uint8Array(hkdfSync('sha256', secret, '', `niveau3 redis ${purpose}`, KEY_OCTETS))
  const sentinelPassword = await readPassword(configured.sentinelPasswordFile)
  return {
    ...address,
    password: (await readPassword(configured.passwordFile)) ?? address.password,
    sentinelPassword,
    ca: caFile === undefined ? undefined : (await readShort(caFile)).toString('utf8'),
    prefix,
    hedgeMs,
    timeoutMs,
    hotNames,
    secret: derive('values'),
    keyOfKeys: derive('keys'),
  }
}

async function readSecret(
  file: string | undefined,
  stateDirectory: string | undefined,
): Promise<Buffer> {
  if (file !== undefined) return checkedSecret(file)
  if (stateDirectory === undefined) {
    throw new OperationalError(
      'ERR_SECRET',
      'the shared cache needs a secret: name one with redis.secretFile, the same on all boxes, or a ' +
        'state directory with --state-dir, where one is made',
    )
  }
  const own = join(stateDirectory, SECRET_NAME)
  await mkdir(stateDirectory, { recursive: true, mode: 0o750 })
  await makeSecret(own)
  return checkedSecret(own)
}

/**
 * Makes the secret where there is none; it is never written over. It gets its name when it is whole
 * and on the disk: nobody can find a part of it, and of several who make one the first wins.
 */
async function makeSecret(file: string): Promise<void> {
  const draft = `${file}.${randomBytes(6).toString('hex')}`
  try {
    if (await isThere(file)) return
    await writeDraft(draft)
    await link(draft, file)
    await syncFolder(dirname(file))
  } catch (cause) {
    if (isExisting(cause)) return
    throw new OperationalError(
      'ERR_SECRET',
      `cannot make the secret of the shared cache, ${file}: ${messageOf(cause)}`,
      { file, cause },
    )
  } finally {
    await rm(draft, { force: true })
  }
}

async function isThere(file: string): Promise<boolean> {
  return stat(file).then(
    () => true,
    () => false,
  )
}

async function writeDraft(draft: string): Promise<void> {
  const handle = await open(draft, 'wx', OWNER_ONLY)
  try {
    await handle.writeFile(`${randomBytes(KEY_OCTETS).toString('base64')}\n`)
    // The process's umask may have taken bits from the mode, and must not add any.
    await handle.chmod(OWNER_ONLY)
    await handle.sync()
  } finally {
    await handle.close()
  }
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

function isExisting(cause: unknown): boolean {
  return cause instanceof Error && 'code' in cause && cause.code === 'EEXIST'
}

async function checkedSecret(file: string): Promise<Buffer> {
  const octets = trimmed(await readPrivate(file))
  if (octets.length >= SECRET_OCTETS_MIN) return octets
  const remedy = `at least ${SECRET_OCTETS_MIN} are needed: head -c 32 /dev/urandom | base64 > ${file}`
  throw new OperationalError(
    'ERR_SECRET',
    `the secret of the shared cache, ${file}, has ${octets.length} octets; ${remedy}`,
    { file },
  )
}

async function readPassword(file: string | undefined): Promise<string | undefined> {
  if (file === undefined) return undefined
  const text = trimmed(await readPrivate(file)).toString('utf8')
  if (text !== '') return text
  throw new OperationalError('ERR_SECRET', `the password file ${file} is empty`, { file })
}

/** Reads a file that others must not be able to read. */
async function readPrivate(file: string): Promise<Buffer> {
  const octets = await readShort(file)
  const { mode } = await stat(file)
  if ((mode & OTHERS) === 0) return octets
  throw new OperationalError(
    'ERR_SECRET',
    `${file} can be read or written by every user of this machine; chmod 600 ${file}`,
    { file },
  )
}

async function readShort(file: string): Promise<Buffer> {
  try {
    const { size } = await stat(file)
    if (size <= FILE_OCTETS_MAX) return await readFile(file)
  } catch (cause) {
    throw new OperationalError('ERR_SECRET', `cannot read ${file}: ${messageOf(cause)}`, {
      file,
      cause,
    })
  }
  throw new OperationalError('ERR_SECRET', `${file} is larger than any secret`, { file })
}

/** Without the end of the line that editors add. */
function trimmed(octets: Buffer): Buffer {
  let end = octets.length
  while (end > 0 && (octets[end - 1] === 0x0a || octets[end - 1] === 0x0d)) end--
  return octets.subarray(0, end)
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause)
}
