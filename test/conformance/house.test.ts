import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { expect, test } from 'vitest'
import { sourcesBelow } from '../support/architecture/source.ts'
import { conforms } from './conforms.ts'

const ROOT = resolve(import.meta.dirname, '../..')

/** Packages that the product may need at run time, those of its dependencies counted. */
const PACKAGES_MAX = 120
/** They start this very program again, without a shell, to read what came from the network. */
const OWN_CHILDREN = [
  'src/controlplane/generations/child-command.ts',
  'src/controlplane/operations/operation-runner.ts',
]
/** Modules of Node.js that start programs, however they are loaded, or what changes who we are. */
const PROGRAMS =
  /\b(from|import|require)\s*\(?\s*['"`](node:)?(child_process|cluster)['"`]|\b(setuid|setgid|seteuid|setegid)\(/
/** Waits that are spread so that not all come at once: whoever guesses one gains nothing. */
const SPREAD_WAITS = ['redis-events', 'redis-link', 'redis-pause', 'redis-warm']

interface Locked {
  readonly version?: string
  readonly integrity?: string
  readonly dev?: boolean
  readonly hasInstallScript?: boolean
}

test('the product starts no program but itself and changes no user', () => {
  conforms('privilege')
  const sources = sourcesBelow(ROOT, 'src')
  expect(sources.length).toBeGreaterThan(50)
  for (const text of [
    "import { spawn } from 'node:child_process'",
    "const { exec } = await import('node:child_process')",
    'require("child_process")',
    "process.setuid('nobody')",
  ]) {
    expect(text).toMatch(PROGRAMS)
  }
  expect(sources.filter(({ text }) => PROGRAMS.test(text)).map(({ path }) => path)).toEqual(
    OWN_CHILDREN,
  )
})

test('nothing that answers queries uses a random source that can be predicted', () => {
  conforms('weak-random')
  const sources = ['sys', 'wire', 'dataplane'].flatMap((room) => sourcesBelow(ROOT, `src/${room}`))
  expect(sources.length).toBeGreaterThan(50)
  const predictable = sources.filter(({ text }) => text.includes('Math.random'))
  expect(predictable.map(({ path }) => path)).toEqual(
    SPREAD_WAITS.map((file) => `src/dataplane/cache/${file}.ts`),
  )
})

test('packages are few, locked by digest, and run nothing when they are installed', () => {
  conforms('supply-chain')
  const lock = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, Locked>
  }
  const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
    allowScripts: Record<string, boolean>
  }
  const packages = Object.entries(lock.packages).filter(([path]) => path !== '')
  const needed = packages.filter(([, { dev }]) => dev !== true)
  expect(needed.length).toBeGreaterThan(5)
  expect(needed.length).toBeLessThan(PACKAGES_MAX)
  expect(packages.filter(([, { integrity }]) => !integrity).map(([path]) => path)).toEqual([])
  const scripts = needed.filter(([, locked]) => locked.hasInstallScript === true)
  for (const [path] of scripts) {
    expect(manifest.allowScripts[path.replace('node_modules/', '')], path).toBe(false)
  }
})
