import { mkdtemp, open, readFile, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startOwnSystem, whyNoOwnSystem, type OwnSystem } from '../support/own-system.ts'
import { runToEnd } from '../support/processes.ts'
import { program } from '../support/programs.ts'

const REPOSITORY = resolve(import.meta.dirname, '../..')
const MIB = 1024 * 1024

let folder = ''
let archive = ''
let octets = 0
let whyNot: string | undefined

/** Without compression, which is no part of what is looked at here and takes the most time. */
async function build(
  out: string,
  ...options: readonly string[]
): Promise<{ file: string; octets: number }> {
  const script = join(REPOSITORY, 'deploy/debian/build.mjs')
  const args = [script, '--out', out, '--compression', 'none', ...options]
  const built = await runToEnd(process.execPath, args, { timeoutMs: 240_000 })
  expect(built.code, built.stderr).toBe(0)
  return JSON.parse(built.stdout) as { file: string; octets: number }
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'niveau3-deb-test-'))
  ;({ file: archive, octets } = await build(folder))
  whyNot = await whyNoOwnSystem()
}, 300_000)
afterAll(() => rm(folder, { recursive: true, force: true }))

/** What every installation has. */
const FILES = [
  '/etc/niveau3/niveau3.yaml',
  '/usr/bin/niveau3',
  '/usr/lib/niveau3/node',
  '/usr/lib/niveau3/dist/bin.js',
  '/usr/lib/niveau3/blocklists/essential.txt',
  '/usr/lib/systemd/system/niveau3.service',
  '/usr/share/man/man1/niveau3.1.gz',
  '/usr/share/bash-completion/completions/niveau3',
  '/usr/share/zsh/vendor-completions/_niveau3',
  '/usr/share/fish/vendor_completions.d/niveau3.fish',
  '/usr/share/doc/niveau3/copyright',
  '/usr/share/doc/niveau3/RUNBOOK.md',
  '/usr/share/doc/niveau3/redis.md',
]

test('the archive holds no more than it has to, is owned by root, and names what dpkg has to know', async () => {
  expect(octets).toBeLessThan(150 * MIB)
  const listed = await runToEnd('dpkg-deb', ['--contents', archive])
  for (const file of FILES) expect(listed.stdout).toContain(` .${file}\n`)
  expect(
    listed.stdout
      .split('\n')
      .filter((line) => line && !line.includes(` ${['root', 'root'].join('/')} `)),
  ).toEqual([])
  expect(listed.stdout).not.toMatch(/\.map$|node_modules\/(typescript|vitest)/m)
  const control = await runToEnd('dpkg-deb', ['--field', archive])
  expect(control.stdout).toMatch(/^Package: niveau3\nVersion: \d+\.\d+\.\d+\n/)
  expect(control.stdout).toMatch(/^Installed-Size: \d{5,6}$/m)
})

test('its own Node.js runs its own program, without anything of this repository', async () => {
  const root = join(folder, 'unpacked')
  expect((await runToEnd('dpkg-deb', ['-x', archive, root])).code).toBe(0)
  const node = join(root, 'usr/lib/niveau3/node')
  const args = [join(root, 'usr/lib/niveau3/dist/bin.js'), 'check', 'torproject.org', '--json']
  const checked = await runToEnd(node, args, { cwd: root, env: { PATH: '/nonexistent' } })
  expect(JSON.parse(checked.stdout)).toMatchObject({ schema: 'niveau3.check/1' })
  expect(checked.stdout).toContain('darkweb')
  const program = join(root, 'usr/lib/niveau3/dist/bin.js')
  const file = join(root, 'etc/niveau3/niveau3.yaml')
  const valid = await runToEnd(node, [program, 'config', 'check', file], { cwd: root })
  expect(valid.stdout, valid.stderr).toMatch(/valid/)
  const version = await runToEnd(node, ['--version'])
  expect(version.stdout).toMatch(/^v24\./)
})

test('the unit is right to systemd, and exposes little', async () => {
  const unit = join(REPOSITORY, 'deploy/systemd/niveau3.service')
  const analyze = await program('systemd-analyze')
  const security = ['security', '--offline=true', '--threshold=20', unit]
  const { code, stdout, stderr } = await runToEnd(analyze, security)
  expect(code, stdout + stderr).toBe(0)
  const score = /Overall exposure level for niveau3.service: ([\d.]+)/.exec(stdout)?.[1]
  expect(Number(score)).toBeLessThanOrEqual(2)
  const readme = await readFile(join(REPOSITORY, 'deploy/README.md'), 'utf8')
  expect(readme).toContain(`\`${score}\``)
  expect(await readFile(unit, 'utf8')).not.toMatch(/^MemoryDenyWriteExecute/m)
})

describe('installed by dpkg under a systemd of its own', () => {
  let system: OwnSystem | undefined
  afterAll(() => system?.stop())

  test('it answers, is restarted when it hangs, reloads only what is right, and leaves nothing', async () => {
    if (whyNot !== undefined) {
      // Without the right to make a system, the scripts can still be held to their grammar.
      expect(whyNot).toMatch(/needs root|overlayfs|cgroup2|systemd/)
      process.emitWarning(`the package was not installed: ${whyNot}`)
      for (const script of ['postinst', 'prerm', 'postrm']) {
        const checked = await runToEnd('sh', ['-n', join(REPOSITORY, 'deploy/debian', script)])
        expect(checked.code, checked.stderr).toBe(0)
      }
      return
    }
    system = await startOwnSystem(folder)
    await expectInstalled(system)
    await expectCare(system)
    await expectOperators(system)
    await expectStateOwned(system)
    await expectPurged(system)
  }, 240_000)
})

async function succeed(system: OwnSystem, command: string): Promise<string> {
  const { code, stdout, stderr } = await system.run('sh', '-c', command)
  if (code !== 0) {
    const status = await system.run('systemctl', 'status', '--no-pager', 'niveau3')
    throw new Error(`${command}\n${stdout}${stderr}\n${status.stdout}`)
  }
  return stdout
}

async function expectInstalled(system: OwnSystem): Promise<void> {
  await succeed(system, 'find / -xdev -path /mnt -prune -o -print | sort > /tmp/before')
  await succeed(system, `dpkg --no-triggers -i /mnt/brought/${archive.split('/').at(-1)}`)
  for (const file of FILES) await succeed(system, `test -e ${file}`)
  await succeed(system, 'systemd-analyze verify niveau3.service')
  await succeed(system, 'systemctl is-active niveau3.service')
  await succeed(system, 'systemctl is-enabled niveau3.service')
  const blocked = await succeed(system, 'niveau3 query torproject.org --server 127.0.0.1:53')
  expect(blocked).toMatch(/NXDOMAIN[\s\S]*EDE 15/)
  const show = 'systemctl show niveau3 -p User -p DynamicUser -p StatusText -p Type'
  expect(await succeed(system, show)).toMatch(
    /^Type=notify\nStatusText=answering\nUser=niveau3\nDynamicUser=yes\n$/,
  )
  // No other user runs it, and its capabilities are the one for the port.
  const status = await succeed(system, 'cat /proc/$(systemctl show -P MainPID niveau3)/status')
  expect(status).toMatch(/^Uid:\s+6\d{4}\s/m)
  expect(status).toMatch(/^CapBnd:\s+0000000000000400$/m)
  expect(status).toMatch(/^NoNewPrivs:\s+1$/m)
  await succeed(system, 'test -d /var/lib/private/niveau3')
  // The unit hides nothing that a lock needs: when its process started, and in which boot.
  const lock = await succeed(system, 'cat /var/lib/private/niveau3/lock')
  expect(lock).toMatch(/^\d+ \d+@[0-9a-f-]{36}\n$/)
}

async function expectCare(system: OwnSystem): Promise<void> {
  await succeed(system, 'systemctl reload niveau3')
  await succeed(system, 'cp /etc/niveau3/niveau3.yaml /tmp/right')
  await succeed(system, 'echo "lissten: []" >> /etc/niveau3/niveau3.yaml')
  const refused = await system.run('systemctl', 'reload', 'niveau3')
  expect(refused.code).not.toBe(0)
  await succeed(system, 'systemctl is-active niveau3.service')
  await succeed(system, 'cp /tmp/right /etc/niveau3/niveau3.yaml')
  // A process that hangs gives no signs of life; a shorter time than 30 s keeps the test short.
  await succeed(system, 'mkdir -p /run/systemd/system/niveau3.service.d')
  const drop = '/run/systemd/system/niveau3.service.d/short.conf'
  await succeed(system, `printf '[Service]\\nWatchdogSec=2\\nRestartSec=0\\n' > ${drop}`)
  await succeed(system, 'systemctl daemon-reload && systemctl restart niveau3')
  const before = await succeed(system, 'systemctl show -P MainPID niveau3')
  await succeed(system, `kill -STOP ${before.trim()}`)
  await succeed(
    system,
    'until [ "$(systemctl show -P NRestarts niveau3)" = 1 ]; do sleep 0.1; done',
  )
  await succeed(system, 'until systemctl is-active niveau3 >/dev/null; do sleep 0.1; done')
  expect(await succeed(system, 'systemctl show -P MainPID niveau3')).not.toBe(before)
  await succeed(system, 'niveau3 query torproject.org --server 127.0.0.1:53')
  await succeed(system, `rm -r /run/systemd/system/niveau3.service.d`)
}

/** Members of the group that the configuration names may command; others may not. */
async function expectOperators(system: OwnSystem): Promise<void> {
  await succeed(system, 'test "$(stat -c %a:%G /run/niveau3/admin.sock)" = 660:niveau3')
  await succeed(system, 'niveau3 status')
  await succeed(system, 'groupadd --system niveau3-admin')
  const folder = '/etc/systemd/system/niveau3.service.d'
  const drop = `mkdir -p ${folder}; printf '[Service]\\nSupplementaryGroups=niveau3-admin\\n'`
  await succeed(system, `${drop} > ${folder}/operators.conf`)
  const group = 's#^admin: .*admin.sock#&, group: niveau3-admin#'
  await succeed(system, `sed -i '${group}' /etc/niveau3/niveau3.yaml`)
  await succeed(system, 'systemctl daemon-reload && systemctl restart niveau3')
  const socket = await succeed(system, 'stat -c %a:%G /run/niveau3 /run/niveau3/admin.sock')
  expect(socket).toBe('755:niveau3\n660:niveau3-admin\n')
  const nobody = 'setpriv --reuid=65534 --regid=65534'
  const member = `${nobody} --groups="$(getent group niveau3-admin | cut -d: -f3)" niveau3`
  await succeed(system, `${member} pause 1m --category vpn --reason test`)
  await succeed(system, `${member} status`)
  const stranger = async (...args: readonly string[]): Promise<number | null> => {
    const all = ['-c', `${nobody} --clear-groups niveau3 "$@"`, 'sh', ...args]
    return (await system.run('sh', ...all)).code
  }
  expect(await stranger('pause', '1m', '--reason', 'test')).toBe(3)
  // It filters, and there is no upstream here.
  expect(await stranger('probe', '--server', '127.0.0.1')).toBe(1)
  await succeed(system, 'niveau3 resume')
  expect(await stranger('probe', '--server', '127.0.0.1')).toBe(5)
  await succeed(system, `rm -r ${folder} && groupdel niveau3-admin`)
  await succeed(system, 'cp /tmp/right /etc/niveau3/niveau3.yaml')
  await succeed(system, 'systemctl daemon-reload && systemctl restart niveau3')
}

/** What root does while the service is down is no hindrance to it afterwards. */
async function expectStateOwned(system: OwnSystem): Promise<void> {
  await succeed(system, 'systemctl stop niveau3')
  const nobody = ['--reuid=65534', '--regid=65534', '--clear-groups', 'niveau3', 'lists', 'ls']
  const refused = await system.run('setpriv', ...nobody)
  expect(refused).toMatchObject({ code: 1, stderr: expect.stringMatching(/EACCES.*as root/) })
  await succeed(system, 'niveau3 allow example.org --reason test')
  await succeed(system, 'systemctl start niveau3')
  await succeed(system, 'niveau3 allow example.net --reason test')
  expect(await succeed(system, 'find /var/lib/private/niveau3 -user root')).toBe('')
}

async function expectPurged(system: OwnSystem): Promise<void> {
  await succeed(system, 'dpkg --no-triggers -r niveau3')
  await succeed(system, 'test -e /etc/niveau3/niveau3.yaml && ! test -e /usr/bin/niveau3')
  expect((await system.run('systemctl', 'is-active', 'niveau3.service')).code).not.toBe(0)
  await succeed(system, 'dpkg --no-triggers -P niveau3')
  await succeed(system, 'find / -xdev -path /mnt -prune -o -print | sort > /tmp/after')
  const left = await succeed(
    system,
    "comm -13 /tmp/before /tmp/after | grep -v -e '^/var/lib/dpkg/' -e '^/var/log/' -e '^/var/lib/systemd/' -e '^/var/cache/' || true",
  )
  expect(left).toBe('')
  expect(
    await succeed(
      system,
      'find / -xdev -name "*niveau3*" -path "/[evu]*" | grep -v -e "^/var/log" -e "^/var/cache/man"|| true',
    ),
  ).toBe('')
}

test('the same sources give the same octets', async () => {
  const again = await build(join(folder, 'again'))
  for (const part of ['--ctrl-tarfile', '--fsys-tarfile']) {
    const digests = await Promise.all(
      [archive, again.file].map((file) =>
        runToEnd('sh', ['-c', 'dpkg-deb "$0" "$1" | sha256sum', part, file]),
      ),
    )
    expect(digests[0]!.stdout).toMatch(/^[0-9a-f]{64} /)
    expect(digests[1]!.stdout).toBe(digests[0]!.stdout)
  }
}, 300_000)

/** e_machine of an ELF header (elf(5)): EM_X86_64 and EM_AARCH64. */
const ELF_MACHINES = { amd64: 62, arm64: 183 } as const

test('the package for the other machine holds programs of that machine alone', async () => {
  const arch = process.arch === 'arm64' ? 'amd64' : 'arm64'
  const other = await build(join(folder, arch), '--arch', arch)
  expect(other.file).toMatch(new RegExp(`_${arch}\\.deb$`))
  const info = await runToEnd('dpkg', ['--info', other.file])
  expect(info.stdout).toMatch(new RegExp(`^ Architecture: ${arch}$`, 'm'))
  const root = join(folder, arch, 'root')
  expect((await runToEnd('dpkg-deb', ['-x', other.file, root])).code).toBe(0)
  const names = await readdir(root, { recursive: true })
  const natives = names.filter((name) => /(^|\/)node$|\.(node|so)$/.test(name))
  const found = await Promise.all(
    natives.map(async (name) => {
      const header = await readStart(join(root, name), 20)
      return header.toString('latin1', 1, 4) === 'ELF' ? [name, header.readUInt16LE(18)] : undefined
    }),
  )
  const machines = found.filter((entry) => entry !== undefined)
  const wanted = expect.arrayContaining([
    ['usr/lib/niveau3/node', ELF_MACHINES[arch]],
    [expect.stringMatching(/@koromix\/koffi-linux-\w+\/.*\.node$/), ELF_MACHINES[arch]],
  ]) as unknown
  expect(machines).toEqual(wanted)
  expect(new Set(machines.map(([, machine]) => machine))).toEqual(new Set([ELF_MACHINES[arch]]))
}, 300_000)

async function readStart(file: string, octets: number): Promise<Buffer> {
  const handle = await open(file)
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(octets), 0, octets, 0)
    return buffer.subarray(0, bytesRead)
  } finally {
    await handle.close()
  }
}
