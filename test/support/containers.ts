/**
 * Containers without a daemon and without an image of others: buildah and podman from their Debian
 * packages, over a base that is made here by debootstrap. All of it lives in a mount and a process
 * namespace with its images in memory, and is gone with them; the machine stays as it was.
 *
 * Needs root, overlayfs and cgroup2. The build reaches the package registry over this machine's
 * network, as `npm ci` does; containers that run have a loopback device and no way out.
 */
import { cp, mkdir, mkdtemp, readFile, realpath, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { MINUTE_S, SECOND_MS } from '../../src/base/units.ts'
import { firstProcess } from './own-system.ts'
import { type Exit, runToEnd, startProcess } from './processes.ts'
import { debianSource, keptFolder, packagedFile, program } from './programs.ts'

/** The one that the Dockerfile names. */
const BASE_IMAGE = 'docker.io/library/node:24-bookworm-slim'
/** Node.js of that image, from the package registry. */
const NODE_PACKAGE = `node-linux-${process.arch}@24`
const COMMAND_MS_MAX = 5 * MINUTE_S * SECOND_MS
const CA_FILE = 'etc/ssl/certs/ca-certificates.crt'

/** Why no container can run here; undefined when one can. */
export async function whyNoContainers(): Promise<string | undefined> {
  if (process.getuid?.() !== 0) return 'debootstrap (mknod, chroot) and mount(2) need root'
  const filesystems = await readFile('/proc/filesystems', 'utf8')
  if (!/\boverlay\b/.test(filesystems)) return 'mount(2): the kernel has no overlayfs'
  if (!/\bcgroup2\b/.test(filesystems)) return 'mount(2): the kernel has no cgroup2'
  const names = ['--mount', '--pid', '--fork', 'sh', '-c', 'mount -t tmpfs tmpfs /mnt']
  const tried = await runToEnd(await program('unshare'), names)
  return tried.code === 0 ? undefined : `unshare(2) or mount(2): ${tried.stderr.trim()}`
}

/** A place where images are built and containers run; made by `openContainerHost`. */
export interface ContainerHost {
  /** Runs a command to its end: `podman`, `buildah`, or anything that the machine has. */
  run(
    command: string,
    ...args: readonly string[]
  ): Promise<Exit & { readonly stdout: string; readonly stderr: string }>
}

/** Becomes the first process of the namespaces; $1: the folder, $2: a cache of the loader. */
const ENTER = `
set -eu
mount -t proc proc /proc
mount --bind "$2" /etc/ld.so.cache
umount -l /sys/fs/cgroup 2>/dev/null || true
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs -o mode=700 tmpfs "$1/memory"
mkdir "$1/memory/tmp"
echo entered
while :; do sleep 3600 & wait; done
`

/** Makes an image of a folder; $1: what holds it, $2: the image's name. */
const IMPORT = `
set -eu
made=$(buildah from scratch)
buildah add -q "$made" "$1/root" /
buildah commit -q --rm "$made" "$2"
`

/** Opens a host whose base image is there; it ends with the tests of the file. */
export async function openContainerHost(): Promise<ContainerHost> {
  const base = await baseRoot()
  const folder = await mkdtemp(join(tmpdir(), 'niveau3-containers-'))
  const places = await Promise.all(
    (['buildah', 'podman', 'crun'] as const).map(async (name) => dirname(await program(name))),
  )
  await mkdir(join(folder, 'memory'))
  await writeFile(join(folder, 'enter.sh'), ENTER)
  await writeSettings(folder, await program('crun'), places)
  const cache = await loaderCache(folder, places)
  const isolate = ['--mount', '--pid', '--fork', '--kill-child']
  const enter = [...isolate, 'sh', join(folder, 'enter.sh'), folder, cache]
  const holder = await startProcess(await program('unshare'), enter, {
    ready: { line: /^entered/ },
    cleanUp: () => rm(folder, { recursive: true, force: true }),
  })
  const target = await firstProcess(holder)
  const nsenter = await program('nsenter')
  const env = {
    HOME: folder,
    PATH: [...places, process.env['PATH']].join(':'),
    TMPDIR: join(folder, 'memory/tmp'),
    CONTAINERS_CONF: join(folder, 'containers.conf'),
    CONTAINERS_STORAGE_CONF: join(folder, 'storage.conf'),
    CONTAINERS_REGISTRIES_CONF: join(folder, 'registries.conf'),
    // No systemd here that would run timers: a test asks for the health itself.
    DISABLE_HC_SYSTEMD: 'true',
  }
  const run: ContainerHost['run'] = (command, ...args) =>
    runToEnd(nsenter, ['--target', target, '--mount', '--pid', '--', command, ...args], {
      env,
      timeoutMs: COMMAND_MS_MAX,
    })
  const imported = await run('sh', '-c', IMPORT, 'sh', base, BASE_IMAGE)
  if (imported.code !== 0) throw new Error(`the base image: ${imported.stderr}`)
  return { run }
}

async function writeSettings(
  folder: string,
  crun: string,
  places: readonly string[],
): Promise<void> {
  const memory = join(folder, 'memory')
  const put = (name: string, ...lines: string[]): Promise<void> =>
    writeFile(join(folder, name), `${lines.join('\n')}\n`)
  await mkdir(join(folder, '.config/containers'), { recursive: true })
  // Nothing is pulled: every image is made here.
  const trusted = '{"default": [{"type": "insecureAcceptAnything"}]}'
  await put('.config/containers/policy.json', trusted)
  await put('registries.conf', 'unqualified-search-registries = []')
  await put(
    'storage.conf',
    '[storage]',
    'driver = "overlay"',
    `graphroot = "${memory}/images"`,
    `runroot = "${memory}/run"`,
  )
  await put(
    'containers.conf',
    '[engine]',
    'cgroup_manager = "cgroupfs"',
    'events_logger = "file"',
    'runtime = "crun"',
    `conmon_path = [${places.map((place) => `"${place}/conmon"`).join(', ')}]`,
    `tmp_dir = "${memory}/run/libpod"`,
    `static_dir = "${memory}/images/libpod"`,
    `volume_path = "${memory}/images/volumes"`,
    '[engine.runtimes]',
    `crun = ["${crun}"]`,
  )
}

/**
 * A cache for the loader that names the packages' own libraries too: these programs start
 * themselves anew with an empty environment, which no launcher's search path survives.
 */
async function loaderCache(folder: string, places: readonly string[]): Promise<string> {
  const roots = [...new Set(places.map((place) => join(dirname(place), 'root')))]
  const found = await runToEnd('find', [...roots, '-name', '*.so.*', '-printf', '%h\\n'])
  const folders = [...new Set(found.stdout.split('\n').filter((line) => line !== ''))]
  const config = join(folder, 'loader.conf')
  await writeFile(config, `include /etc/ld.so.conf\n${folders.join('\n')}\n`)
  const cache = join(folder, 'loader.cache')
  const made = await runToEnd('/sbin/ldconfig', ['-X', '-f', config, '-C', cache])
  if (made.code !== 0) throw new Error(`ldconfig: ${made.stderr}`)
  return cache
}

/** Debian as debootstrap makes it, with Node.js and npm where the official image has them. */
async function baseRoot(): Promise<string> {
  const { site, release } = await debianSource()
  const script = await program('debootstrap')
  const parts = dirname(await packagedFile('debootstrap', 'usr/share/debootstrap/functions'))
  const debian = await keptFolder(`debian-${release}`, async (folder) => {
    const args = ['--variant=minbase', release, join(folder, 'root'), site]
    const env = { DEBOOTSTRAP_DIR: parts }
    const made = await runToEnd(script, args, { env, timeoutMs: 2 * COMMAND_MS_MAX })
    if (made.code !== 0) throw new Error(`debootstrap: ${made.stdout}${made.stderr}`)
    for (const path of ['var/cache/apt/archives', 'var/lib/apt/lists']) {
      await rm(join(folder, 'root', path), { recursive: true, force: true })
    }
  })
  return keptFolder(`debian-${release}-node`, async (folder) => {
    const copied = await runToEnd('cp', ['-a', join(debian, 'root'), folder])
    if (copied.code !== 0) throw new Error(`cp: ${copied.stderr}`)
    await addNode(join(folder, 'root'))
  })
}

async function addNode(root: string): Promise<void> {
  const local = join(root, 'usr/local')
  const packed = await runToEnd('npm', ['pack', '--silent', NODE_PACKAGE], { cwd: local })
  const unpack = ['-xzf', packed.stdout.trim(), '--strip-components=1', 'package/bin/node']
  const unpacked = await runToEnd('tar', [...unpack, '--no-same-owner'], { cwd: local })
  if (unpacked.code !== 0) throw new Error(`${NODE_PACKAGE}: ${packed.stderr}${unpacked.stderr}`)
  await rm(join(local, packed.stdout.trim()))
  const npm = dirname(dirname(await realpath(await pathOf('npm'))))
  await cp(npm, join(local, 'lib/node_modules/npm'), { recursive: true })
  for (const name of ['npm', 'npx']) {
    await symlink(`../lib/node_modules/npm/bin/${name}-cli.js`, join(local, 'bin', name))
  }
  // The registry, and whom to believe there, as this machine has them.
  const settings = [`registry=${await settingOf('registry')}`]
  const authorities = await settingOf('cafile')
  if (authorities !== 'null' && authorities !== '') {
    await mkdir(dirname(join(root, CA_FILE)), { recursive: true })
    await cp(resolve(authorities), join(root, CA_FILE))
    settings.push(`cafile=/${CA_FILE}`)
  }
  await mkdir(join(local, 'etc'), { recursive: true })
  await writeFile(join(local, 'etc/npmrc'), `${settings.join('\n')}\n`)
}

async function settingOf(key: string): Promise<string> {
  return (await runToEnd('npm', ['config', 'get', key], { cwd: tmpdir() })).stdout.trim()
}

async function pathOf(name: string): Promise<string> {
  const { stdout } = await runToEnd('sh', ['-c', 'command -v "$0"', name])
  return stdout.trim()
}
