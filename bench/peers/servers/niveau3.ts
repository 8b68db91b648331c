/** niveau3 itself: the built program with one worker, from a compiled image. */
import { readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { type Command, run } from '../children.ts'
import type { Server } from './server.ts'

/** Compiling the larger list takes at most this long. */
const COMPILE_MS_MAX = 300_000

const PROGRAM = resolve('dist/bin.js')

/** niveau3. */
export const niveau3: Server = {
  key: 'niveau3',
  title: 'niveau3',
  method: 'compiled image',
  role: 'subject',
  async version() {
    const description: unknown = JSON.parse(await readFile('package.json', 'utf8'))
    return (description as { version: string }).version
  },
  async prepare({ folder, port, upstreamPort, list }): Promise<Command> {
    const image = join(folder, 'bench.image')
    const compile = ['lists', 'compile', '--out', image, '--blocklist', `bench=${list.file}`]
    await run(process.execPath, [PROGRAM, ...compile], COMPILE_MS_MAX, { cwd: folder })
    const serve = ['serve', '--image', image, '--workers', '1', '--metrics', '127.0.0.1:0']
    serve.push('--listen', `127.0.0.1:${port}`, '--upstream', `udp://127.0.0.1:${upstreamPort}`)
    serve.push('--state-dir', join(folder, 'state'))
    return {
      program: process.execPath,
      args: ['--max-semi-space-size=2', PROGRAM, ...serve],
      cwd: folder,
    }
  },
}
