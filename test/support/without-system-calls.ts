/** Environments in which the server under test finds no system calls beyond Node's own. */

/** Runs code in every thread of the process before the program itself. */
function preload(code: string): string {
  return `--import data:text/javascript,${encodeURIComponent(code)}`
}

const NO_CALLS = "Object.defineProperty(process, 'arch', { value: 'other' })"

/** As on a machine for which koffi has no binary: both transports of UDP are then Node's. */
export const WITHOUT_SYSTEM_CALLS: Readonly<Record<string, string>> = {
  NODE_OPTIONS: preload(NO_CALLS),
}

/** The same under a Node.js that cannot share a UDP port between threads either. */
export const WITHOUT_SHARED_PORTS: Readonly<Record<string, string>> = {
  NODE_OPTIONS: preload(
    `${NO_CALLS}
    const versions = { ...process.versions, node: '22.11.0' }
    Object.defineProperty(process, 'versions', { value: versions })`,
  ),
}

/** System calls, but no way to find what Node.js waits with: workers have no loop of their own. */
export const WITHOUT_OWN_LOOP: Readonly<Record<string, string>> = {
  NODE_OPTIONS: preload(
    `import fs from 'node:fs'
    import { syncBuiltinESMExports } from 'node:module'
    const { readdirSync } = fs
    fs.readdirSync = (path, ...rest) => {
      if (path === '/proc/self/fdinfo') throw new Error('not here')
      return readdirSync(path, ...rest)
    }
    syncBuiltinESMExports()`,
  ),
}
