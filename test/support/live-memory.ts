/** What a server holds on to: the memory that is left in all its threads without garbage. */
import { readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'vitest'
import { MiB, SECOND_MS } from '../../src/base/units.ts'
import type { Process, ProcessOptions } from './processes.ts'

const PRELOAD = join(import.meta.dirname, 'live-memory-preload.cjs')
const COLLECT_MS_MAX = 20 * SECOND_MS
const POLL_MS = 20

let files = 0

/** Weighs one server. */
export class LiveMemory {
  readonly #file: string
  #times = 0

  constructor() {
    this.#file = join(tmpdir(), `niveau3-live-memory-${process.pid}-${++files}.json`)
    afterAll(() => rm(this.#file, { force: true }))
  }

  /** What the server has to be started with; `nodeOptions` are its own. */
  processOptions(nodeOptions: string): ProcessOptions {
    return {
      env: {
        NODE_OPTIONS: `${nodeOptions} --require "${PRELOAD}"`,
        LIVE_MEMORY_FILE: this.#file,
      },
    }
  }

  /** Has every thread collect its garbage; resolves with what is left of all, in MiB. */
  async weigh(server: Process): Promise<number> {
    const times = ++this.#times
    server.signal('SIGUSR2')
    const endMs = performance.now() + COLLECT_MS_MAX
    for (;;) {
      const text = await readFile(this.#file, 'utf8').catch(() => '{}')
      const told = JSON.parse(text) as { times?: number; octets?: number }
      if (told.times === times && told.octets !== undefined) return told.octets / MiB
      if (performance.now() > endMs) throw new Error('the server does not tell what it holds')
      await new Promise((resolve) => setTimeout(resolve, POLL_MS))
    }
  }
}
