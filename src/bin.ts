/** The executable: arguments to the command line, its exit code to the shell. */

import { readFileSync } from 'node:fs'
import { EXIT } from './base/errors.ts'
import { runCli } from './controlplane/cli/main.ts'
import { createTerminal } from './controlplane/cli/terminal.ts'

// Who reads may stop reading (`| head`): no reason for a complaint.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
  process.exit(0)
})

// The server stops by itself, in its own time; all else ends as a shell expects it.
// A command that has to clean up listens for itself; the second Ctrl-C ends it at once.
if (process.argv[2] !== 'serve') {
  process.on('SIGINT', () => {
    if (process.listenerCount('SIGINT') === 1) process.exit(EXIT.interrupted)
  })
}

void runCli(process.argv.slice(2), {
  terminal: createTerminal(process.stdout, process.stderr, process.env),
  environment: process.env,
  readStdin: () => readFileSync(0, 'utf8'),
  // The other commands start faster without what only a server needs.
  startServer: async (config, surroundings) => {
    const { startServer } = await import('./controlplane/serve.ts')
    return startServer(config, surroundings)
  },
}).then((exitCode) => (process.exitCode = exitCode))
