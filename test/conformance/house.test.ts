import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { expect, test } from 'vitest'
import { sourcesBelow } from '../support/architecture/source.ts'
import { conforms } from './conforms.ts'

const ROOT = resolve(import.meta.dirname, '../..')

/** Packages that the product may need at run time, those of its dependencies counted. */
const PACKAGES_MAX = 120
/** Starts this very program again, without a shell, to read what came from the network. */
const OWN_CHILD = 'src/controlplane/generations/subscription-keeper.ts'
/** Modules of Node.js that start programs or change who we are. */
const PROGRAMS = /from '(node:)?(child_process|cluster)'|process\.(setuid|setgid|seteuid)\(/

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
  expect(sources.filter(({ text }) => PROGRAMS.test(text)).map(({ path }) => path)).toEqual([
    OWN_CHILD,
  ])
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
