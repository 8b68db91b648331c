/** Where the files of this package are, whichever file of the built program asks. */
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'

/** The folder with package.json: above `src` in a test, above `dist` in the program. */
export const PACKAGE_DIRECTORY = nearestPackage(import.meta.dirname)

/** The built file that a process or a thread starts with, such as `worker.js`. */
export function programFile(name: string): string {
  return join(PACKAGE_DIRECTORY, 'dist', name)
}

function nearestPackage(start: string): string {
  let folder = start
  while (!existsSync(join(folder, 'blocklists'))) {
    const above = dirname(folder)
    if (above === folder) throw new Error(`no folder blocklists above ${start}`)
    folder = above
  }
  return folder
}
