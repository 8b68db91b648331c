/** "From nothing to a filtered site" says what the programs do, in both languages. */
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { describe, expect, test } from 'vitest'
import { EXIT } from '../../src/base/errors.ts'
import { loadConfig } from '../../src/controlplane/config/load.ts'
import { run } from '../cli/in-process.ts'

const REPOSITORY = resolve(import.meta.dirname, '../..')
const GUIDES = ['deploy/README.md', 'deploy/README.fr.md'] as const
const PAGES = [...GUIDES, 'deploy/RUNBOOK.md', 'deploy/routers.md', 'deploy/redis.md'] as const
/** Commands with a second word of their own. */
const GROUPS = new Set(['lists', 'config', 'fleet', 'rules'])

const startServer = () => Promise.reject(new Error('help needs no server'))

function read(path: string): string {
  return readFileSync(join(REPOSITORY, path), 'utf8')
}

function blocks(page: string, language: string): string[] {
  const fence = new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, 'gm')
  return [...read(page).matchAll(fence)].map(([, text]) => text!)
}

/** The lines of all shell blocks, without comments. */
function commands(page: string): string[] {
  const lines = blocks(page, 'sh').flatMap((text) => text.split('\n'))
  return lines.map((line) => line.replace(/\s+#.*$/, '').trim()).filter((line) => line !== '')
}

test('both languages have the same commands and the same configuration', () => {
  const [english, french] = GUIDES
  expect(commands(english).length).toBeGreaterThan(12)
  expect(commands(french)).toEqual(commands(english))
  expect(blocks(french, 'yaml')).toEqual(blocks(english, 'yaml'))
})

test('its configuration is right, and keeps the packaged socket for commands', () => {
  const [text = ''] = blocks(GUIDES[0], 'yaml')
  const packaged = read('deploy/debian/niveau3.yaml')
  const [shown, installed] = [text, packaged].map(
    (content) => loadConfig({ source: { name: 'page', text: content }, environment: {} }).control,
  )
  expect(shown?.adminSocket?.file).toBe('/run/niveau3/admin.sock')
  expect(installed?.adminSocket).toEqual(shown?.adminSocket)
  expect(installed?.stateDirectory).toBe(shown?.stateDirectory)
})

describe.each(PAGES)('%s', (page) => {
  const ours = commands(page).flatMap((line) => /(?:^|sudo )niveau3 (.*)$/.exec(line)?.[1] ?? [])

  test('shows commands and options that exist', async () => {
    for (const text of ours) {
      const words = text.replace(/ [;|>].*$/, '').split(/\s+/)
      const path = words.slice(0, GROUPS.has(words[0]!) ? 2 : 1)
      const { code, stdout } = await run([...path, '--help'], { startServer })
      expect({ code, usage: stdout.split('\n')[0] }, text).toEqual({
        code: EXIT.ok,
        usage: expect.stringContaining(`niveau3 ${path.join(' ')}`) as string,
      })
      for (const option of words.filter((word) => word.startsWith('--'))) {
        expect(stdout, text).toMatch(new RegExp(`${option}[ ,\\n]`))
      }
    }
  })

  test('names scripts, files and packages that exist', () => {
    const { scripts, version } = JSON.parse(read('package.json')) as {
      scripts: Record<string, string>
      version: string
    }
    for (const [text, name] of read(page).matchAll(/npm run ([\w:]+)/g)) {
      expect(Object.keys(scripts), text).toContain(name)
    }
    for (const [text, named] of read(page).matchAll(/niveau3_([\d.]+)_\w+\.deb/g)) {
      expect(named, text).toBe(version)
    }
    for (const [text, target] of read(page).matchAll(/\]\(([^)#\s]+)[^)]*\)/g)) {
      if (/^https?:/.test(target!)) continue
      expect(existsSync(join(REPOSITORY, dirname(page), target!)), text).toBe(true)
    }
  })
})

test('the recipe that it prints is printed', async () => {
  const shown = commands(GUIDES[0]).find((line) => line.startsWith('niveau3 router'))!
  const { code, stdout } = await run(shown.split(' ').slice(1), { startServer })
  expect(code).toBe(EXIT.ok)
  expect(stdout).toContain('10.20.0.53')
})
