/** The version of this program, as its package says. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { PACKAGE_DIRECTORY } from './package-files.ts'

/** Returns the version in package.json. */
export function packageVersion(): string {
  const file = join(PACKAGE_DIRECTORY, 'package.json')
  const parsed: unknown = JSON.parse(readFileSync(file, 'utf8'))
  if (typeof parsed === 'object' && parsed !== null && 'version' in parsed) {
    return String(parsed.version)
  }
  return 'unknown'
}
