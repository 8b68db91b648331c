/**
 * Writes niveau3.schema.json, CONFIGURATION.md and the manual page (`npm run generate`), or, with
 * `--check`, fails when they are not what the schema and the commands say.
 */

import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { runCli } from '../cli/main.ts'
import { createTerminal } from '../cli/terminal.ts'
import { PACKAGE_DIRECTORY } from '../package-files.ts'
import { referencePage, schemaFile } from './reference.ts'

const isCheck = process.argv.includes('--check')

/** As `niveau3 manpage` prints it. */
async function manualPage(): Promise<string> {
  let text = ''
  const stream = { write: (added: string) => (text += added) }
  await runCli(['manpage'], {
    terminal: createTerminal(stream, stream, {}),
    environment: {},
    readStdin: () => '',
    startServer: () => Promise.reject(new Error('only its description is wanted')),
  })
  return text
}

/** Writes what differs, or tells of it. */
async function generate(): Promise<void> {
  for (const [name, text] of [
    ['niveau3.schema.json', schemaFile()],
    ['CONFIGURATION.md', referencePage()],
    ['deploy/man/niveau3.1', await manualPage()],
  ] as const) {
    const file = join(PACKAGE_DIRECTORY, name)
    if (existsSync(file) && readFileSync(file, 'utf8') === text) continue
    if (isCheck) {
      process.stderr.write(`${name} is stale: run "npm run generate" and commit it\n`)
      process.exitCode = 1
    } else {
      writeFileSync(file, text)
      process.stderr.write(`${name} written\n`)
    }
  }
}

void generate()
