/**
 * Real programs for the tests and the benchmarks: Redis, Unbound, dig, dnsperf, promtool, and the
 * resolvers that bench/peers compares with; and files of packages, such as fonts.
 *
 * Each is taken from PATH, else from its Debian package, unpacked with the libraries that this
 * machine lacks into a cache folder. Nothing is installed into the system, no root is needed, no
 * daemon is started. What cannot be had is an error, never a skipped test.
 *
 * Environment: `NIVEAU3_CACHE_DIR` is the cache folder (default `.cache/programs` of this
 * repository), `NIVEAU3_PROGRAMS=packages` leaves PATH aside.
 */
import { execFile, spawn } from 'node:child_process'
import { constants } from 'node:fs'
import { access, chmod, mkdir, readdir, rename, rm, stat, writeFile } from 'node:fs/promises'
import { delimiter, join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { HOUR_S, MINUTE_S, SECOND_MS } from '../../src/base/units.ts'

const run = promisify(execFile)

interface Source {
  /** The Debian package that carries the program. */
  readonly package: string
  /** True: the program is linked statically, so that the package's dependencies stay away. */
  readonly alone: boolean
}

/** Every program that the tests and benchmarks may ask for. */
const SOURCES = {
  'redis-server': { package: 'redis-server', alone: false },
  'redis-cli': { package: 'redis-server', alone: false },
  unbound: { package: 'unbound', alone: false },
  'unbound-checkconf': { package: 'unbound', alone: false },
  dig: { package: 'bind9-dnsutils', alone: false },
  kdig: { package: 'knot-dnsutils', alone: false },
  curl: { package: 'curl', alone: false },
  openssl: { package: 'openssl', alone: false },
  dnsperf: { package: 'dnsperf', alone: false },
  ip: { package: 'iproute2', alone: false },
  unshare: { package: 'util-linux', alone: false },
  nsenter: { package: 'util-linux', alone: false },
  socat: { package: 'socat', alone: false },
  nft: { package: 'nftables', alone: false },
  keepalived: { package: 'keepalived', alone: false },
  mandoc: { package: 'mandoc', alone: false },
  zsh: { package: 'zsh', alone: false },
  fish: { package: 'fish', alone: false },
  setpriv: { package: 'util-linux', alone: false },
  'systemd-analyze': { package: 'systemd', alone: false },
  promtool: { package: 'prometheus', alone: true },
  prometheus: { package: 'prometheus', alone: true },
  debootstrap: { package: 'debootstrap', alone: true },
  buildah: { package: 'buildah', alone: false },
  podman: { package: 'podman', alone: false },
  crun: { package: 'crun', alone: false },
  pngquant: { package: 'pngquant', alone: false },
  pdns_recursor: { package: 'pdns-recursor', alone: false },
  dnsdist: { package: 'dnsdist', alone: false },
  dnsmasq: { package: 'dnsmasq-base', alone: false },
  kresd: { package: 'knot-resolver', alone: false },
  named: { package: 'bind9', alone: false },
  smartdns: { package: 'smartdns', alone: false },
} as const satisfies Record<string, Source>

export type ProgramName = keyof typeof SOURCES

/** Where Debian keeps programs, beside what PATH names: a user's PATH often lacks sbin. */
const SYSTEM_FOLDERS = [
  '/usr/local/sbin',
  '/usr/local/bin',
  '/usr/sbin',
  '/usr/bin',
  '/sbin',
  '/bin',
]

/** One apt command may take this long on a slow line. */
const APT_MS_MAX = 10 * MINUTE_S * SECOND_MS

/** Output of an apt command that we are ready to read. */
const OUTPUT_OCTETS_MAX = 16 * 1024 * 1024

const found = new Map<ProgramName, Promise<string>>()

/**
 * Returns the absolute path of a runnable program.
 *
 * A program from a package is a small launcher that sets the library path and becomes the program,
 * so its pid is the program's own. The first call on a fresh machine may take half a minute.
 */
export function program(name: ProgramName): Promise<string> {
  const known = found.get(name)
  if (known !== undefined) return known
  const path = locate(name)
  found.set(name, path)
  return path
}

/** Packages of which files are wanted, not programs. */
export type FilePackageName = 'fonts-dejavu-core' | 'debootstrap'

/**
 * Returns the absolute path of a file of a Debian package, always the package's own: what this
 * machine has installed does not matter.
 *
 * @param path below the root, without a slash before it.
 */
export async function packagedFile(name: FilePackageName, path: string): Promise<string> {
  const file = join(cacheFolder(), name, 'root', path)
  await underLock(cacheFolder(), async () => {
    if (!(await isReadable(file))) await unpack({ package: name, alone: true })
  })
  if (!(await isReadable(file))) throw new Error(`the package ${name} holds no file ${path}`)
  return file
}

/** The folder that holds unpacked packages. */
export function cacheFolder(): string {
  const configured = process.env['NIVEAU3_CACHE_DIR']
  if (configured !== undefined && configured !== '') return resolve(configured)
  return resolve(import.meta.dirname, '../../.cache/programs')
}

/**
 * Makes something large in the cache folder, once: `make` fills an empty folder, which gets its
 * name when it is whole. Returns the folder's path.
 *
 * The lock of the cache is held meanwhile: `make` may not ask for a program.
 */
export async function keptFolder(
  name: string,
  make: (folder: string) => Promise<void>,
): Promise<string> {
  const finished = join(cacheFolder(), name)
  await underLock(cacheFolder(), async () => {
    if (await isReadable(finished)) return
    const making = `${finished}.making`
    await rm(making, { recursive: true, force: true })
    await mkdir(making, { recursive: true })
    await make(making)
    await rename(making, finished)
  })
  return finished
}

/** Where this machine's Debian comes from: its first package source that apt knows. */
export async function debianSource(): Promise<{ readonly site: string; readonly release: string }> {
  const format = ['--format', '$(SITE) $(RELEASE)', 'Created-By: Packages']
  const { stdout } = await run('apt-get', ['indextargets', ...format])
  const found = /^(\S+\/debian\/?) ([a-z]+)$/m.exec(stdout)
  if (found === null) throw new Error(`apt-get names no source of Debian itself:\n${stdout}`)
  return { site: found[1]!, release: found[2]! }
}

async function locate(name: ProgramName): Promise<string> {
  if (process.env['NIVEAU3_PROGRAMS'] !== 'packages') {
    const installed = await onPath(name)
    if (installed !== undefined) return installed
  }
  const source = SOURCES[name]
  const launcher = join(cacheFolder(), source.package, 'launch', name)
  if (await isRunnable(launcher)) return launcher
  try {
    await underLock(cacheFolder(), async () => {
      if (!(await isRunnable(launcher))) await unpack(source)
    })
  } catch (cause) {
    throw new Error(unavailable(name, cause), { cause })
  }
  if (!(await isRunnable(launcher))) {
    throw new Error(unavailable(name, `package ${source.package} holds no program of that name`))
  }
  return launcher
}

function unavailable(name: ProgramName, reason: unknown): string {
  const detail = reason instanceof Error ? reason.message : String(reason)
  return (
    `The tests need the real program ${name}: it is not on PATH and its Debian package ` +
    `${SOURCES[name].package} cannot be unpacked here. Install it, or give apt-get a way to its ` +
    `package source. ${detail}`
  )
}

async function onPath(name: string): Promise<string | undefined> {
  const folders = (process.env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== '')
  for (const folder of [...folders, ...SYSTEM_FOLDERS]) {
    const path = resolve(folder, name)
    if (await isRunnable(path)) return path
  }
  return undefined
}

function isRunnable(path: string): Promise<boolean> {
  return isAccessible(path, constants.X_OK)
}

function isReadable(path: string): Promise<boolean> {
  return isAccessible(path, constants.R_OK)
}

function isAccessible(path: string, mode: number): Promise<boolean> {
  return access(path, mode).then(
    () => true,
    () => false,
  )
}

/**
 * Runs `work` while no other process of this machine does so for the same folder. The kernel holds
 * the lock (flock) and drops it when its holder dies, so a killed test run leaves nothing behind.
 */
async function underLock(folder: string, work: () => Promise<void>): Promise<void> {
  await mkdir(folder, { recursive: true })
  const holder = spawn('flock', [join(folder, 'lock'), 'sh', '-c', 'echo held; cat'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const ended = new Promise<void>((resolveEnded) => holder.once('close', () => resolveEnded()))
  await new Promise<void>((resolveHeld, reject) => {
    holder.once('error', reject)
    holder.stdout.once('data', () => resolveHeld())
    holder.once('exit', () => reject(new Error(`no lock on ${folder}`)))
  })
  try {
    await work()
  } finally {
    holder.stdin.end()
    await ended
  }
}

/** Fetches a package and what it lacks here, unpacks all of it, and puts launchers beside it. */
async function unpack(source: Source): Promise<void> {
  const cache = cacheFolder()
  const apt = await privateApt(join(cache, 'apt'))
  const making = join(cache, `${source.package}.making`)
  const root = join(making, 'root')
  await rm(making, { recursive: true, force: true })
  await mkdir(root, { recursive: true })
  for (const archive of await fetchArchives(apt, source, making)) {
    await run('dpkg-deb', ['-x', archive, root], { timeout: APT_MS_MAX })
    await rm(archive)
  }
  await writeLaunchers(making, root)
  const finished = join(cache, source.package)
  await rm(finished, { recursive: true, force: true })
  await rename(making, finished)
}

/**
 * Writes an apt configuration whose state and cache lie in `folder`, and reads the package indexes
 * into it. The system's own indexes, caches, locks and hooks are neither used nor touched; its
 * package sources, keys and proxies are.
 */
async function privateApt(folder: string): Promise<string> {
  const config = join(folder, 'apt.conf')
  await mkdir(join(folder, 'state/lists/partial'), { recursive: true })
  await mkdir(join(folder, 'cache/archives/partial'), { recursive: true })
  const lines = [
    `Dir::State "${join(folder, 'state')}";`,
    'Dir::State::status "/var/lib/dpkg/status";',
    `Dir::Cache "${join(folder, 'cache')}";`,
    `Dir::Log "${folder}";`,
    '#clear APT::Update::Pre-Invoke;',
    '#clear APT::Update::Post-Invoke;',
    '#clear APT::Update::Post-Invoke-Success;',
    '#clear DPkg::Pre-Install-Pkgs;',
    '#clear DPkg::Post-Invoke;',
    // Downloads as root run as another user, who may not write here.
    'APT::Sandbox::User "root";',
    'Debug::NoLocking "true";',
    'Acquire::Languages "none";',
    'Acquire::Retries "3";',
    'Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";',
    'Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled "false";',
  ]
  await writeFile(config, `${lines.join('\n')}\n`)
  if (await isFresh(join(folder, 'updated'))) return config
  try {
    await aptGet(config, ['update'], folder)
    await writeFile(join(folder, 'updated'), '')
  } catch (cause) {
    // One dead source among several is no matter: the download below says what is missing.
    process.emitWarning(`apt-get update was not complete: ${String(cause)}`)
  }
  return config
}

/** True when the file is so young that the indexes read with it still name existing archives. */
async function isFresh(marker: string): Promise<boolean> {
  const seen = await stat(marker).catch(() => undefined)
  return seen !== undefined && Date.now() - seen.mtimeMs < HOUR_S * SECOND_MS
}

async function aptGet(config: string, args: readonly string[], folder: string): Promise<string> {
  const { stdout } = await run('apt-get', ['-c', config, '-q', ...args], {
    cwd: folder,
    env: { ...process.env, LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive' },
    timeout: APT_MS_MAX,
    maxBuffer: OUTPUT_OCTETS_MAX,
  })
  return stdout
}

/** Returns the paths of the downloaded archives. */
async function fetchArchives(apt: string, source: Source, folder: string): Promise<string[]> {
  const archives = join(folder, 'archives')
  await mkdir(join(archives, 'partial'), { recursive: true })
  if (source.alone) {
    await aptGet(apt, ['download', source.package], archives)
  } else {
    // --reinstall fetches the package itself even where it is installed; nothing is installed.
    const options = ['--yes', '--no-install-recommends', '--reinstall', '--download-only']
    const where = ['-o', `Dir::Cache::archives=${archives}`]
    await aptGet(apt, [...where, 'install', ...options, source.package], folder)
  }
  const names = (await readdir(archives)).filter((name) => name.endsWith('.deb'))
  if (names.length === 0) throw new Error(`apt-get fetched no archive of ${source.package}`)
  return names.map((name) => join(archives, name))
}

/** One launcher for each program of the unpacked tree: it finds its libraries beside itself. */
async function writeLaunchers(folder: string, root: string): Promise<void> {
  const launch = join(folder, 'launch')
  await mkdir(launch)
  const libraries = await libraryFolders(root)
  const searched = libraries.map((path) => `$here/root/${path}`).join(':')
  for (const bin of ['usr/sbin', 'usr/bin', 'sbin', 'bin']) {
    const names = await readdir(join(root, bin)).catch(() => [])
    for (const name of names) {
      const script = [
        '#!/bin/sh',
        'here=$(dirname "$(dirname "$(readlink -f "$0")")")',
        `LD_LIBRARY_PATH="${searched}\${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"`,
        'export LD_LIBRARY_PATH',
        `exec "$here/root/${bin}/${name}" "$@"`,
      ]
      await writeFile(join(launch, name), `${script.join('\n')}\n`)
      await chmod(join(launch, name), 0o755)
    }
  }
}

/** Folders of the tree that hold shared libraries, relative to its root. */
async function libraryFolders(root: string): Promise<string[]> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true })
  const folders = new Set<string>()
  for (const entry of entries) {
    if (entry.isDirectory() || !/\.so(\.\d+)*$/.test(entry.name)) continue
    folders.add(entry.parentPath.slice(root.length + 1))
  }
  return [...folders].toSorted()
}
