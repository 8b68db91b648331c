/**
 * Writes niveau3.schema.json and CONFIGURATION.md (`npm run generate`), or, with `--check`, fails
 * when they are not what the schema says.
 */

import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PACKAGE_DIRECTORY } from '../package-files.ts'
import { referencePage, schemaFile } from './reference.ts'

const isCheck = process.argv.includes('--check')

for (const [name, text] of [
  ['niveau3.schema.json', schemaFile()],
  ['CONFIGURATION.md', referencePage()],
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
