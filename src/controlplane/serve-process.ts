/** A server as a process of its own: its log, its signals, its end. */
import { EventEmitter, once } from 'node:events'
import { pino, type Logger } from 'pino'
import type { OperationalError } from '../base/errors.ts'
import type { LoadedConfig } from './config/load.ts'
import { startServer, type Niveau3Server } from './serve.ts'

/**
 * Serves until SIGTERM or SIGINT, or until the server gives up; SIGHUP reloads. A second SIGTERM or
 * SIGINT ends the process at once.
 *
 * The log is one JSON object a line on standard output, from `log.level` on.
 *
 * @throws OperationalError when the server cannot start, or cannot go on.
 */
export async function serveUntilStopped(
  config: LoadedConfig,
  reload: () => LoadedConfig,
): Promise<void> {
  const log = pino({ base: { pid: process.pid }, level: config.control.logLevel })
  const fatal = new EventEmitter<{ fatal: [OperationalError] }>()
  const gaveUp = once(fatal, 'fatal')
  const stopAsked = stopSignal()
  const server = await startServer(config, {
    reloadConfig: reload,
    log,
    onFatal: (error) => fatal.emit('fatal', error),
  })
  const onHangup = (): void => void server.reload()
  process.on('SIGHUP', onHangup)
  try {
    const end = await Promise.race([stopAsked, gaveUp])
    if (Array.isArray(end)) throw end[0]
  } finally {
    process.off('SIGHUP', onHangup)
    await stop(server, log)
  }
}

/** Resolves at the first SIGTERM or SIGINT; the second one ends the process. */
function stopSignal(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      let asked = false
      process.on(signal, () => {
        if (asked) process.exit(1)
        asked = true
        resolve()
      })
    }
  })
}

async function stop(server: Niveau3Server, log: Logger): Promise<void> {
  await server.stop()
  log.flush()
}
