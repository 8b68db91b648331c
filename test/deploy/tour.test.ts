import { access, constants, cp, mkdir, mkdtemp, readFile, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { essenceOf, replayConsole } from '../support/console-blocks.ts'
import { type Process, runToEnd, startProcess } from '../support/processes.ts'
import { program } from '../support/programs.ts'

const REPOSITORY = resolve(import.meta.dirname, '../..')
/** Where README says that the clone stands. */
const CLONE = '/opt/niveau3'
const INSTALL_MS_MAX = 600_000

let folder = ''
afterAll(() => rm(folder, { recursive: true, force: true }))

/** What a clone of this state of the repository brings: its files, and no other. */
async function makeClone(): Promise<string> {
  folder = await mkdtemp(join(tmpdir(), 'niveau3-clone-'))
  const clone = join(folder, 'clone')
  const git = ['-C', REPOSITORY, 'ls-files', '-z', '--cached', '--others', '--exclude-standard']
  const listed = await runToEnd('git', git)
  expect(listed.code, listed.stderr).toBe(0)
  for (const name of listed.stdout.split('\0').filter((text) => text !== '')) {
    await mkdir(dirname(join(clone, name)), { recursive: true })
    // A file that is deleted and not yet committed is in the list, and nowhere else.
    await cp(join(REPOSITORY, name), join(clone, name)).catch((error: NodeJS.ErrnoException) =>
      expect(error.code).toBe('ENOENT'),
    )
  }
  await mkdir(join(folder, 'home'))
  const bin = join(folder, 'bin')
  await mkdir(bin)
  for (const name of ['dig', 'curl'] as const) await symlink(await program(name), join(bin, name))
  return clone
}

/** The environment of a person at a terminal who has set nothing, and has no network to ask. */
function environment(): Record<string, string | undefined> {
  const own = Object.keys(process.env).filter((name) => /^(NIVEAU3|npm|NPM)_/.test(name))
  const unset = Object.fromEntries(own.map((name) => [name, undefined]))
  const path = [join(folder, 'bin'), dirname(process.execPath), process.env['PATH']].join(':')
  const home = { HOME: join(folder, 'home'), npm_config_offline: 'true' }
  return { ...unset, ...home, PATH: path, NO_COLOR: '1', CI: undefined, VITEST: undefined }
}

/** Lays the clone where README has it, in a network of its own: its ports are free there. */
const ENTER = `
set -eu
mount -t proc proc /proc
mount -t tmpfs tmpfs /opt
mkdir "$2"
mount --bind "$1" "$2"
"$3" link set lo up
cd "$2"
echo entered
exec npm start
`

async function startInClone(clone: string): Promise<Process> {
  const user = process.getuid?.() === 0 ? [] : ['--user', '--map-root-user']
  const isolate = [...user, '--mount', '--net', '--pid', '--kill-child', '--fork']
  const script = ['sh', '-c', ENTER, 'sh', clone, CLONE, await program('ip')]
  return startProcess(await program('unshare'), [...isolate, ...script], {
    env: environment(),
    ready: { line: /"event":"ready"/ },
    readyMsMax: INSTALL_MS_MAX,
  })
}

test('the tour of README, word for word, in a fresh clone', async () => {
  const clone = await makeClone()
  const install = { cwd: clone, env: { NODE_ENV: undefined }, timeoutMs: INSTALL_MS_MAX }
  const installed = await runToEnd('npm', ['ci'], install)
  expect(installed.code, installed.stderr).toBe(0)
  const server = await startInClone(clone)
  // npx may have linked it before it was built anew.
  await access(join(clone, 'dist/bin.js'), constants.X_OK)
  const inside = (
    await readFile(`/proc/${server.pid}/task/${server.pid}/children`, 'latin1')
  ).trim()
  const user = process.getuid?.() === 0 ? [] : ['--user', '--preserve-credentials']
  const enter = ['--target', inside, ...user, '--mount', '--net', '--pid', `--wdns=${CLONE}`, '--']
  const nsenter = await program('nsenter')
  const run = async (command: string): Promise<readonly string[]> => {
    if (command === 'npm ci && npm start') {
      return ['...', await server.line(/"event":"ready"/)]
    }
    const all = [...enter, 'bash', '-c', `{ ${command}; } 2>&1`]
    const { stdout } = await runToEnd(nsenter, all, { env: environment(), timeoutMs: 60_000 })
    return stdout.split('\n')
  }
  const page = await readFile(join(REPOSITORY, 'README.md'), 'utf8')
  expect(await replayConsole(page, { run, essence: essenceOf })).toBe(page)
  await server.end('SIGKILL')
}, 900_000)
