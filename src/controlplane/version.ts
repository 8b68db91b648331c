/** The version of this program, as its package says. */
import { readFileSync } from 'node:fs'

/** Returns the version in package.json. */
export function packageVersion(): string {
  const file = new URL('../../package.json', import.meta.url)
  const parsed: unknown = JSON.parse(readFileSync(file, 'utf8'))
  if (typeof parsed === 'object' && parsed !== null && 'version' in parsed) {
    return String(parsed.version)
  }
  return 'unknown'
}
