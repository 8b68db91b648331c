/**
 * The secrets of server cookies (RFC 9018 5). Servers that answer on one address share a file of
 * secrets that their operator rolls over; a server of its own keeps a seed in its state directory,
 * from which the workers make a secret for each day.
 */
import { randomBytes } from 'node:crypto'
import { link, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { OperationalError } from '../base/errors.ts'
import type { CookieSettings } from '../dataplane/settings.ts'
import { SIPHASH_KEY_OCTETS } from '../wire/siphash.ts'
import type { LoadedConfig } from './config/load.ts'
import { systemCode } from './config/plain.ts'

/** What the configuration says about cookies. */
export interface CookieSource {
  /** Absolute path: a secret of 32 hexadecimal digits a line, the first one makes cookies. */
  readonly secretFile: string | undefined
}

const SECRETS_MAX = 4
const HEX_LINE = /^[0-9a-f]+$/i
const NO_SEED = new Uint8Array(0)

/** Without a state directory: holds as long as this process. */
const seedOfProcess = randomBytes(SIPHASH_KEY_OCTETS)

/**
 * Returns the configuration with the secrets that it asks for.
 *
 * @throws OperationalError ERR_CONFIG when a file is no file of secrets, ERR_PERMISSION when the
 *   state directory cannot be written.
 */
export async function addCookieSecrets(config: LoadedConfig): Promise<LoadedConfig> {
  const { cookies: source, stateDirectory } = config.control
  if (source === undefined) return config
  const cookies: CookieSettings =
    source.secretFile === undefined
      ? { secrets: [], seed: await seedOf(stateDirectory) }
      : { secrets: await readSecrets(source.secretFile), seed: NO_SEED }
  return { ...config, dataplane: { ...config.dataplane, cookies } }
}

async function readSecrets(file: string): Promise<Uint8Array[]> {
  const lines = (await readText(file)).split('\n').map((line) => line.trim())
  const secrets: Uint8Array[] = []
  for (const [index, line] of lines.entries()) {
    if (line === '' || line.startsWith('#')) continue
    secrets.push(parseHex(line, SIPHASH_KEY_OCTETS, file, index + 1))
  }
  if (secrets.length > 0 && secrets.length <= SECRETS_MAX) return secrets
  throw new OperationalError(
    'ERR_CONFIG',
    `${file} holds ${secrets.length} secrets; write 1 to ${SECRETS_MAX} lines of 32 hexadecimal ` +
      'digits (openssl rand -hex 16), the newest first',
    { file },
  )
}

async function seedOf(stateDirectory: string | undefined): Promise<Uint8Array> {
  if (stateDirectory === undefined) return seedOfProcess
  const file = join(stateDirectory, 'cookie-seed')
  try {
    await mkdir(stateDirectory, { recursive: true, mode: 0o750 })
    await createSeed(file)
  } catch (cause) {
    const why = systemCode(cause)
    const message = `cannot write ${file} (${why}); give the directory's owner or mode to this user`
    throw new OperationalError('ERR_PERMISSION', message, { file, cause })
  }
  return parseHex((await readText(file)).trim(), SIPHASH_KEY_OCTETS, file, 1)
}

/** Makes the file whole or not at all; one that is there stays. */
async function createSeed(file: string): Promise<void> {
  const draft = `${file}.${process.pid}`
  await writeFile(draft, `${randomBytes(SIPHASH_KEY_OCTETS).toString('hex')}\n`, { mode: 0o600 })
  try {
    await link(draft, file)
  } catch (error) {
    if (systemCode(error) !== 'EEXIST') throw error
  } finally {
    await rm(draft, { force: true })
  }
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, 'latin1')
  } catch (cause) {
    const message = `the cookie secrets in ${file} cannot be read (${systemCode(cause)})`
    throw new OperationalError('ERR_CONFIG', message, { file, cause })
  }
}

function parseHex(text: string, octets: number, file: string, line: number): Uint8Array {
  if (HEX_LINE.test(text) && text.length === 2 * octets) return Buffer.from(text, 'hex')
  const message = `${file}:${line}: a cookie secret has ${2 * octets} hexadecimal digits; write it anew`
  throw new OperationalError('ERR_CONFIG', message, { file, line })
}
