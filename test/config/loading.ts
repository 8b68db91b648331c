/** Configurations as texts, loaded in a folder with a few lists and nothing of this machine. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll } from 'vitest'
import { loadConfig, type LoadOptions } from '../../src/controlplane/config/load.ts'
import { ConfigError, formatProblem } from '../../src/controlplane/config/problems.ts'

/** The folder of the test file that is running. */
export let folder: string

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'niveau3-config-'))
  mkdirSync(join(folder, 'lists'))
  writeFileSync(join(folder, 'lists', 'vpn.txt.gz'), '')
  writeFileSync(join(folder, 'lists', 'adult.txt'), '')
  writeFileSync(join(folder, 'image.n3'), '')
  writeFileSync(join(folder, 'resolv.conf'), 'nameserver 10.1.1.1\nnameserver 127.0.0.53\n')
})
afterAll(() => {
  rmSync(folder, { recursive: true })
})

/** Loads a text as `n.yaml` of the test's folder, with nothing of this machine around it. */
export function load(text: string, more: LoadOptions = {}) {
  return loadConfig({
    source: { name: join(folder, 'n.yaml'), text },
    environment: {},
    workingDirectory: folder,
    resolvConfFile: join(folder, 'resolv.conf'),
    interfaceAddresses: ['127.0.0.1', '10.9.9.9', '::1'],
    ...more,
  })
}

/** The problems of a text, one line each, without the folder. */
export function problemsOf(text: string, more: LoadOptions = {}): readonly string[] {
  return errorOf(text, more).problems.map((problem) =>
    formatProblem(problem).replaceAll(`${folder}/`, ''),
  )
}

/** What a text is refused with. */
export function errorOf(text: string, more: LoadOptions = {}): ConfigError {
  try {
    load(text, more)
  } catch (error) {
    if (error instanceof ConfigError) return error
    throw error
  }
  throw new Error('the configuration was accepted')
}
