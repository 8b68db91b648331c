import { readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { openContainerHost, whyNoContainers, type ContainerHost } from '../support/containers.ts'
import { runNiveau3 } from '../support/niveau3.ts'
import { program } from '../support/programs.ts'

const REPOSITORY = resolve(import.meta.dirname, '../..')
const FILE = join(REPOSITORY, 'deploy/Dockerfile')
const MIB = 1024 * 1024

let host: ContainerHost | undefined
afterAll(() => host?.run('podman', 'rm', '--all', '--force', '--time', '1'))

async function succeed(...command: [string, ...string[]]): Promise<string> {
  const { code, stdout, stderr } = await host!.run(...command)
  if (code === 0) return stdout
  const logs = await host!.run('podman', 'logs', 'niveau3')
  throw new Error(`${command.join(' ')}\n${stdout}${stderr}\n${logs.stdout}${logs.stderr}`)
}

function build(): Promise<string> {
  const flags = ['--format', 'docker', '--isolation', 'chroot', '--network', 'host', '--pull-never']
  return succeed('buildah', 'build', '--quiet', ...flags, '-f', FILE, '-t', 'niveau3', REPOSITORY)
}

/** As the comments of the Dockerfile and compose.yaml have it. */
async function start(): Promise<number> {
  const rights = ['--read-only', '--cap-drop', 'all', '--security-opt', 'no-new-privileges']
  // Fewer than podman would give: this machine may have less to give.
  const limits = ['--ulimit', 'nofile=4096:4096', '--ulimit', 'nproc=1024:1024']
  const place = ['--network', 'none', '--cgroups', 'disabled', '--pull', 'never']
  const asks = ['--env', 'NIVEAU3_ALLOW_FROM=127.0.0.0/8']
  const name = ['--name', 'niveau3', '--detach', 'niveau3']
  await succeed('podman', 'run', ...rights, ...limits, ...place, ...asks, ...name)
  await succeed(
    'sh',
    '-c',
    'until podman logs niveau3 2>&1 | grep -q \\"event\\":\\"ready\\"; do ' +
      'podman container inspect -f {{.State.Status}} niveau3 | grep -q running; sleep 0.1; done',
  )
  return Number(await inspected('{{.State.Pid}}'))
}

async function inspected(format: string): Promise<string> {
  return (await succeed('podman', 'container', 'inspect', '--format', format, 'niveau3')).trim()
}

/** What dig says within the container's network. */
async function dig(pid: number, ...question: readonly string[]): Promise<string> {
  const ask = [await program('dig'), '@127.0.0.1', '-p', '5353', '+tries=1', ...question]
  return succeed(await program('nsenter'), '--target', String(pid), '--net', ...ask)
}

async function expectNoRights(pid: number): Promise<void> {
  const status = await succeed('cat', `/proc/${pid}/status`)
  expect(status).toMatch(/^Uid:\s+65532\s+65532\s/m)
  expect(status).toMatch(/^CapBnd:\s+0+$/m)
  expect(status).toMatch(/^NoNewPrivs:\s+1$/m)
  const written = await host!.run('podman', 'exec', 'niveau3', 'touch', '/usr/lib/niveau3/x')
  expect(written.stderr).toMatch(/Read-only file system/)
  await succeed('podman', 'exec', 'niveau3', 'touch', '/var/lib/niveau3/x')
}

/** Its health is the filter's: what is wrong makes it ill, what is only upstream does not. */
async function expectHealth(): Promise<void> {
  await succeed('podman', 'healthcheck', 'run', 'niveau3')
  const allow = ['niveau3', 'allow', 'nordvpn.com', '--reason', 'test']
  await succeed('podman', 'exec', 'niveau3', ...allow)
  await succeed('podman', 'healthcheck', 'run', 'niveau3')
  const ask = /^HEALTHCHECK[^]*?CMD (.*)$/m.exec(await readFile(FILE, 'utf8'))?.[1] ?? ''
  expect(ask).toContain('niveau3 probe --server 127.0.0.1:5353;')
  const wrong = ['--env', 'NIVEAU3_PROBE__MUST_BLOCK={adult: [open.example]}']
  const ill = await host!.run('podman', 'exec', ...wrong, 'niveau3', 'sh', '-c', ask)
  expect(ill.code, ill.stdout + ill.stderr).toBe(1)
}

test('the image is built, filters without any right, says how it is, and ends when told', async () => {
  const whyNot = await whyNoContainers()
  if (whyNot !== undefined) {
    // What its health check asks is at least a command that this program knows.
    process.emitWarning(`the image was not built: ${whyNot}`)
    expect((await runNiveau3(['probe', '--server', '127.0.0.1:1'])).code).toBe(3)
    return
  }
  host = await openContainerHost()
  await build()
  const octets = await succeed('podman', 'image', 'inspect', '--format', '{{.Size}}', 'niveau3')
  expect(Number(octets)).toBeLessThan(320 * MIB)
  const pid = await start()
  expect(await dig(pid, 'nordvpn.com')).toMatch(/NXDOMAIN[^]*EDE: 15 \(Blocked\)/)
  expect(await dig(pid, '+tcp', 'abcdef.onion.ws', 'AAAA')).toContain('(category darkweb)')
  expect(await dig(pid, '+short', 'localhost')).toBe('127.0.0.1\n')
  await expectNoRights(pid)
  await expectHealth()
  await succeed('podman', 'stop', '--time', '20', 'niveau3')
  expect(await inspected('{{.State.ExitCode}} {{.State.OOMKilled}}')).toBe('0 false')
  const { stdout, stderr } = await host.run('podman', 'logs', 'niveau3')
  expect(stdout + stderr).toMatch(/"event":"stopped"/)
}, 900_000)
