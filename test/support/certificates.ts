/** A certificate authority for tests: made with the real openssl, in a folder that goes away. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'vitest'
import { DAY_S, SECOND_MS } from '../../src/base/units.ts'
import { runToEnd } from './processes.ts'
import { program } from './programs.ts'

const DAY_MS = DAY_S * SECOND_MS

/** A certificate with its key, as text and as files. */
export interface Identity {
  readonly certificate: string
  readonly key: string
  readonly certificateFile: string
  readonly keyFile: string
}

export interface IdentityOptions {
  /** Subject alternative names as openssl writes them: `DNS:dns.example`, `IP:127.0.0.1`. */
  readonly names?: readonly string[]
  /** From and until when it holds, in days from now; default yesterday and a month. */
  readonly days?: readonly [from: number, until: number]
}

const DEFAULT_NAMES = ['DNS:dns.example', 'IP:127.0.0.1']

const CONFIGURATION = `
[ca]
default_ca = test
[test]
dir = .
database = index.txt
new_certs_dir = .
rand_serial = yes
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = supplied
[req]
distinguished_name = subject
[subject]
`

/** An authority; made by `createAuthority`. */
export class Authority {
  readonly folder: string
  readonly certificate: string
  readonly certificateFile: string
  #made = 0

  constructor(folder: string, certificate: string) {
    this.folder = folder
    this.certificate = certificate
    this.certificateFile = join(folder, 'ca.pem')
  }

  /** Signs a new key for the names. */
  async sign(options: IdentityOptions = {}): Promise<Identity> {
    const { names = DEFAULT_NAMES, days = [-1, 30] } = options
    const number = ++this.#made
    const file = (ending: string): string => join(this.folder, `leaf${number}.${ending}`)
    const [from, until] = days
    await openssl(this.folder, [
      ...newKey(file('key')),
      '-new',
      '-subj',
      '/CN=leaf',
      '-out',
      file('csr'),
    ])
    await writeFile(file('ext'), `subjectAltName=${names.join(',')}\n`)
    const dates = ['-startdate', atDay(from), '-enddate', atDay(until)]
    const files = ['-in', file('csr'), '-out', file('pem'), '-extfile', file('ext')]
    const signer = ['-config', 'openssl.cnf', '-cert', 'ca.pem', '-keyfile', 'ca.key']
    await openssl(this.folder, ['ca', '-batch', '-notext', ...signer, ...dates, ...files])
    return {
      certificate: await readFile(file('pem'), 'utf8'),
      key: await readFile(file('key'), 'utf8'),
      certificateFile: file('pem'),
      keyFile: file('key'),
    }
  }
}

const folders: string[] = []
afterAll(async () => {
  for (const folder of folders) await rm(folder, { recursive: true, force: true })
})

/** Makes an authority of its own; its folder is removed with the tests of the file. */
export async function createAuthority(): Promise<Authority> {
  const folder = await mkdtemp(join(tmpdir(), 'niveau3-ca-'))
  folders.push(folder)
  await writeFile(join(folder, 'openssl.cnf'), CONFIGURATION)
  await writeFile(join(folder, 'index.txt'), '')
  const subject = ['-subj', `/CN=Authority ${folder.slice(-6)}`, '-days', '30']
  const usage = ['-addext', 'basicConstraints=critical,CA:TRUE']
  const out = ['-out', join(folder, 'ca.pem')]
  await openssl(folder, [...newKey(join(folder, 'ca.key')), '-x509', ...subject, ...usage, ...out])
  return new Authority(folder, await readFile(join(folder, 'ca.pem'), 'utf8'))
}

function newKey(file: string): string[] {
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1']
  return ['req', '-config', 'openssl.cnf', ...curve, '-nodes', '-keyout', file]
}

/** A day from now in the form that openssl takes: YYYYMMDDHHMMSSZ. */
function atDay(days: number): string {
  const time = new Date(Date.now() + days * DAY_MS).toISOString()
  return `${time.slice(0, 19).replaceAll(/[-:T]/g, '')}Z`
}

async function openssl(cwd: string, args: readonly string[]): Promise<void> {
  const { code, stderr } = await runToEnd(await program('openssl'), args, { cwd })
  if (code !== 0) throw new Error(`openssl ${args.join(' ')}: ${stderr}`)
}
