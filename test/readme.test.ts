/**
 * The front door tells the truth: every command of the tour is run, every option, code, link and
 * table is compared with the program. `npx vitest run test/readme.test.ts -u` writes new output
 * into README.md.
 */
import { existsSync, readFileSync } from 'node:fs'
import { chmod, mkdir, mkdtemp, realpath, rename } from 'node:fs/promises'
import { rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ERROR_CODES, EXIT } from '../src/base/errors.ts'
import { loadConfig } from '../src/controlplane/config/load.ts'
import { run as runInProcess } from './cli/in-process.ts'
import { createAuthority } from './support/certificates.ts'
import { essenceOf, replayConsole } from './support/console-blocks.ts'
import { type Niveau3, startNiveau3 } from './support/niveau3.ts'
import { runToEnd } from './support/processes.ts'
import { program } from './support/programs.ts'
import { type ScriptedUpstream, startScriptedUpstream } from './support/scripted-upstream.ts'

const ROOT = resolve(import.meta.dirname, '..')
const README = readFileSync(join(ROOT, 'README.md'), 'utf8')
const PAGES = ['README.md', 'ERRORS.md', 'DECISIONS.md', 'CHANGELOG.md', 'CONFIGURATION.md']
/** Where the page says that the clone stands, and the ports that the commands name. */
const CLONE = '/opt/niveau3'
const PORT = 5300
const METRICS_PORT = 9353

function read(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8')
}

const startServer = () => Promise.reject(new Error('help needs no server'))

/** The scripts of package.json. */
function scripts(): Readonly<Record<string, string>> {
  const parsed = JSON.parse(read('package.json')) as { scripts: Record<string, string> }
  return parsed.scripts
}

/** The fenced blocks of one language. */
function blocks(language: string): string[] {
  const fence = new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, 'gm')
  return [...README.matchAll(fence)].map(([, text]) => text!)
}

describe('the tour', () => {
  let folder: string
  let server: Niveau3
  let upstream: ScriptedUpstream

  beforeAll(async () => {
    folder = await makeCheckout()
    upstream = await startScriptedUpstream()
    server = await startNiveau3({ upstreams: [upstream] })
  })

  afterAll(async () => {
    await server.stop()
    await rm(folder, { recursive: true, force: true })
  })

  async function run(command: string): Promise<readonly string[]> {
    if (command === 'npm ci && npm start') {
      return ['...', atPageAddresses(JSON.stringify(server.ready), server)]
    }
    const here = command
      .replace(`-p ${PORT}`, `-p ${server.port}`)
      .replace(`127.0.0.1:${METRICS_PORT}`, `127.0.0.1:${server.metricsPort}`)
    const printed = await runToEnd('sh', ['-c', `{ ${here}; } 2>&1`], {
      cwd: folder,
      env: environmentOf(folder),
    })
    return atPageAddresses(printed.stdout, server)
      .replaceAll(folder, CLONE)
      .replaceAll(ROOT, CLONE)
      .split('\n')
  }

  test('prints what README prints, and asks no upstream', { timeout: 120_000 }, async () => {
    const commands: string[] = []
    const replayed = await replayConsole(README, {
      run: (command) => {
        commands.push(command)
        return run(command)
      },
      essence: essenceOf,
    })
    expect(commands.length).toBeGreaterThan(8)
    expect(upstream.queries.map(({ name }) => name)).toEqual([])
    await expect(replayed).toMatchFileSnapshot('../README.md')
  })
})

/** A folder that is a checkout to npx, with room for the files of the tour. */
async function makeCheckout(): Promise<string> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'niveau3-tour-')))
  for (const name of ['package.json', 'dist', 'node_modules', 'blocklists']) {
    await symlink(join(ROOT, name), join(folder, name))
  }
  const bin = join(folder, 'bin')
  await mkdir(bin)
  await symlink(await program('dig'), join(bin, 'dig'))
  // The test below runs npx itself; it insists on a real checkout and takes a second each time.
  await writeProgram(join(bin, 'npx'), 'shift; exec "$node" dist/bin.js "$@"')
  // A fresh machine has no curl; all that the tour needs of it is a GET.
  const get = 'fetch(process.argv[2]).then(async (r) => process.stdout.write(await r.text()))'
  await writeProgram(join(bin, 'curl'), `exec "$node" -e '${get}' -- "$@"`)
  return folder
}

async function writeProgram(file: string, line: string): Promise<void> {
  await writeFile(file, `#!/bin/sh\nnode="${process.execPath}"\n${line}\n`)
  await chmod(file, 0o755)
}

/** The environment of a person at a terminal who has set nothing. */
function environmentOf(folder: string): Record<string, string | undefined> {
  const own = Object.keys(process.env).filter((name) => /^(NIVEAU3|npm|NPM)_/.test(name))
  const unset = Object.fromEntries(own.map((name) => [name, undefined]))
  const path = [join(folder, 'bin'), dirname(process.execPath), process.env['PATH']].join(':')
  return { ...unset, PATH: path, HOME: folder, NO_COLOR: '1' }
}

function atPageAddresses(text: string, { port, metricsPort }: Niveau3): string {
  return text
    .replaceAll(new RegExp(`(#|:|-p )${port}\\b`, 'g'), `$1${PORT}`)
    .replaceAll(new RegExp(`:${metricsPort}\\b`, 'g'), `:${METRICS_PORT}`)
}

describe('commands', () => {
  test('the two commands are those of package.json and .ci/run', () => {
    const [commands] = blocks('sh')
    expect(commands).toMatch(/^npm ci && npm start +#/m)
    expect(commands).toMatch(/^npm ci && npm test +#/m)
    expect(scripts()['start']).toMatch(/ exec node (--\S+ )?dist\/bin\.js serve$/)
    expect(scripts()['test']).toMatch(/ vitest run$/)
    expect(read('.ci/run')).toContain("bash -c 'npm ci && npm test'")
  })

  test('npx niveau3 works in a checkout, with no network', { timeout: 60_000 }, async () => {
    const folder = await mkdtemp(join(tmpdir(), 'niveau3-npx-'))
    // npx would first build the checkout anew, under the feet of the tests that run beside this.
    const quiet = { npm_config_offline: 'true', npm_config_ignore_scripts: 'true' }
    const env = { ...environmentOf(folder), ...quiet }
    const { code, stdout } = await runToEnd('npx', ['niveau3', '--version'], { cwd: ROOT, env })
    await rm(folder, { recursive: true, force: true })
    expect({ code, stdout }).toEqual({
      code: 0,
      stdout: expect.stringMatching(/^niveau3 \d/) as string,
    })
  })

  test('every npm script that the pages name exists', () => {
    const named = PAGES.flatMap((page) => [...read(page).matchAll(/npm run (?:-s )?([\w:]+)/g)])
    expect(named.length).toBeGreaterThan(0)
    for (const [text, name] of named) expect(Object.keys(scripts()), text).toContain(name)
  })

  test('every command and option that README shows exists', async () => {
    const shown = [...README.matchAll(/(?:npx |^|`)niveau3 ([a-z][^`\n]*)/gm)].map(([, t]) => t!)
    expect(shown.length).toBeGreaterThan(8)
    for (const text of shown) {
      const words = text.replace(/ [;|].*$/, '').split(' ')
      const path = words.slice(0, ['lists', 'config', 'fleet'].includes(words[0]!) ? 2 : 1)
      const { code, stdout } = await runInProcess([...path, '--help'], { startServer })
      expect({ code, usage: stdout.split('\n')[0] }, text).toEqual({
        code: EXIT.ok,
        usage: expect.stringContaining(`niveau3 ${path.join(' ')} `) as string,
      })
      for (const option of words.filter((word) => word.startsWith('--'))) {
        expect(stdout, text).toContain(`${option.replace(/;$/, '')} `)
      }
    }
  })

  test('the configurations that README shows are accepted', async () => {
    const shown = blocks('yaml')
    expect(shown).toHaveLength(5)
    const { certificateFile, keyFile } = await (await createAuthority()).sign()
    const folder = dirname(certificateFile)
    await rename(certificateFile, join(folder, 'dns.pem'))
    await rename(keyFile, join(folder, 'dns.key'))
    for (const text of shown) {
      const config = loadConfig({
        source: { name: 'README', text },
        environment: {},
        workingDirectory: folder,
      })
      expect(config.dataplane.listen[0]?.port).toBe(53)
    }
  })
})

describe('tables', () => {
  test('the error table is the registry', () => {
    const rows = [...read('ERRORS.md').matchAll(/^\| `(ERR_\w+)` \| (\d+) \| \S/gm)]
    expect(rows.map(([, code, exit]) => [code, Number(exit)])).toEqual(Object.entries(ERROR_CODES))
  })

  test('the exit codes are those that exist', () => {
    const rows = [...README.matchAll(/^\| (\d+) \| \S/gm)]
    expect(rows.map(([, code]) => Number(code))).toEqual(Object.values(EXIT))
  })

  test.each(['peers', 'trie'])(
    'a table of %s stands there with its JSON and not without',
    (name) => {
      const between = new RegExp(`<!-- bench:${name} -->([\\s\\S]*?)<!-- /bench:${name} -->`)
      const [, table] = between.exec(README) ?? []
      expect(table).toBeDefined()
      const isMeasured = existsSync(join(ROOT, `bench/results/${name}.json`))
      expect(table?.trim() !== '').toBe(isMeasured)
    },
  )
})

describe('pages', () => {
  test.each([...PAGES, 'blocklists/README.md'])('the links of %s lead somewhere', (page) => {
    const links = [...read(page).matchAll(/\]\(([^)\s]+)\)/g)].map(([, target]) => target!)
    if (page === 'README.md') expect(links.length).toBeGreaterThan(5)
    for (const link of links.filter((target) => !/^https?:/.test(target))) {
      const [file, anchor] = link.split('#')
      const target = file === '' ? page : join(dirname(page), file!)
      expect(existsSync(join(ROOT, target)), link).toBe(true)
      if (anchor !== undefined) expect(anchorsOf(read(target)), link).toContain(anchor)
    }
  })

  test('decisions are numbered, dated and say how they would turn out wrong', () => {
    const entries = read('DECISIONS.md').split(/^### /m).slice(1)
    expect(entries.length).toBeGreaterThan(20)
    for (const entry of entries) {
      expect(entry).toMatch(/^\d+\. \S.* \(20\d\d-\d\d\)\n/)
      for (const part of ['Context', 'Choice', 'Refused', 'Wrong if']) {
        expect(entry).toContain(`\n**${part}.** `)
      }
    }
    const numbers = entries.map((entry) => Number.parseInt(entry, 10))
    expect(numbers.filter((number, index) => numbers.indexOf(number) !== index)).toEqual([])
  })

  test('the changelog begins with the version of the package', () => {
    const { version } = JSON.parse(read('package.json')) as { version: string }
    expect(/^## (\S+)/m.exec(read('CHANGELOG.md'))?.[1]).toBe(version)
  })

  test('no host of a registry stands in the lock file', () => {
    expect(read('package-lock.json')).not.toContain('"resolved"')
  })
})

function anchorsOf(page: string): string[] {
  return [...page.matchAll(/^#+ (.*)$/gm)].map(([, heading]) =>
    heading!
      .toLowerCase()
      .replaceAll(/[^\w\s-]/g, '')
      .replaceAll(' ', '-'),
  )
}
