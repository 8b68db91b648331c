/**
 * A system of its own for a test: this machine's Debian under namespaces of its own, with its own
 * systemd as the first process. What is installed there is written to memory and gone with it; the
 * machine itself stays as it was. Its network is one loopback device, with no way out.
 *
 * Needs root, overlayfs and a cgroup2 hierarchy.
 */
import { mkdir, mkdtemp, readFile, readdir, rm, rmdir, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { type Exit, type Process, runToEnd, startProcess } from './processes.ts'
import { program } from './programs.ts'

/** A running system; made by `startOwnSystem`. */
export interface OwnSystem {
  /** Runs a command in it to its end. */
  run(
    command: string,
    ...args: readonly string[]
  ): Promise<Exit & { readonly stdout: string; readonly stderr: string }>
  /** Ends it with everything in it. */
  stop(): Promise<void>
}

/** Lays the root and becomes its first process; $1: an empty folder, $2: one to bring along. */
const BOOT = `
set -eu
mount -t tmpfs -o mode=755 tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
cd "$1/root"
mkdir -p mnt/brought
mount --bind "$2" mnt/brought
mount -t tmpfs -o mode=755 tmpfs dev
for device in null zero full random urandom tty; do
  touch "dev/$device"
  mount --bind "/dev/$device" "dev/$device"
done
mkdir dev/shm dev/pts
mount -t tmpfs tmpfs dev/shm
mount -t devpts -o newinstance,gid=5,mode=620,ptmxmode=666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
ip link set lo up
# Units of this machine are none of ours: only what the test installs may run.
rm -rf etc/systemd/system/*.wants usr/sbin/policy-rc.d
printf '[Unit]\\nDescription=A system for a test\\n' > etc/systemd/system/own.target
# The index of manuals is not looked at, and takes half a minute to make.
rm -f var/lib/man-db/auto-update
echo 0123456789abcdef0123456789abcdef > etc/machine-id
export container=niveau3-test
echo booting
# The root of the namespace, not only of this process: services make namespaces of their own.
mkdir before
pivot_root . before
exec chroot . sh -c 'umount -l /before && rmdir /before && exec "$0" "$@"' /lib/systemd/systemd --unit=own.target --log-target=console --show-status=no
`

/** Why no such system can run here; undefined when it can. */
export async function whyNoOwnSystem(): Promise<string | undefined> {
  if (process.getuid?.() !== 0) return 'a system of its own needs root'
  const filesystems = await readFile('/proc/filesystems', 'utf8')
  if (!/\boverlay\b/.test(filesystems)) return 'the kernel has no overlayfs'
  if ((await cgroupRoot()) === undefined) return 'no cgroup2 hierarchy is mounted'
  const systemd = await runToEnd('sh', ['-c', 'test -x /lib/systemd/systemd'])
  return systemd.code === 0 ? undefined : 'this machine has no systemd'
}

async function cgroupRoot(): Promise<string | undefined> {
  const mounts = await readFile('/proc/self/mounts', 'utf8')
  return /^\S+ (\S+) cgroup2 rw/m.exec(mounts)?.[1]
}

/** Starts a system; the folder is seen in it as /mnt/brought. It ends with the file's tests. */
export async function startOwnSystem(brought: string): Promise<OwnSystem> {
  const folder = await mkdtemp(join(tmpdir(), 'niveau3-system-'))
  const cgroup = join((await cgroupRoot())!, basename(folder))
  await mkdir(cgroup)
  const script = join(folder, 'boot.sh')
  await writeFile(script, BOOT)
  const root = join(folder, 'system')
  await mkdir(root)
  const enter = `echo $$ > "${cgroup}/cgroup.procs"; exec "$@"`
  const isolate = ['--mount', '--pid', '--fork', '--kill-child', '--net', '--ipc', '--uts']
  const namespaces = [await program('unshare'), ...isolate, '--cgroup']
  const cleanUp = async (): Promise<void> => {
    await removeCgroup(cgroup)
    await rm(folder, { recursive: true, force: true })
  }
  const args = ['-c', enter, 'sh', ...namespaces, 'sh', script, root, brought]
  const holder = await startProcess('sh', args, { ready: { line: /^booting/ }, cleanUp })
  const init = await firstProcess(holder)
  const nsenter = await program('nsenter')
  const run: OwnSystem['run'] = (command, ...rest) => {
    const all = ['--target', init, '--all', '--root', '--wd', '--', command, ...rest]
    return runToEnd(nsenter, all, { timeoutMs: 60_000 })
  }
  const booted = await run(
    'sh',
    '-c',
    'until systemctl list-jobs | grep -q "No jobs"; do sleep 0.1; done',
  )
  if (booted.code !== 0) throw new Error(`the system did not start: ${holder.output()}`)
  return { run, stop: async () => void (await holder.end('SIGKILL')) }
}

/** The process that unshare forked: the first of its namespace. */
export async function firstProcess(holder: Process): Promise<string> {
  const file = `/proc/${holder.pid}/task/${holder.pid}/children`
  return (await readFile(file, 'utf8')).trim()
}

/** A group can be removed when it and those below it are empty. */
async function removeCgroup(folder: string): Promise<void> {
  const below = await readdir(folder, { withFileTypes: true }).catch(() => [])
  for (const entry of below) {
    if (entry.isDirectory()) await removeCgroup(join(folder, entry.name))
  }
  for (let tries = 0; tries < 100; tries++) {
    const isGone = await rmdir(folder).then(
      () => true,
      (error: NodeJS.ErrnoException) => error.code === 'ENOENT',
    )
    if (isGone) return
    // Its last process is still ending.
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
