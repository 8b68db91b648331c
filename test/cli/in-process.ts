/** The command line without a process: what it writes and how it ends. */
import { runCli, type Surroundings } from '../../src/controlplane/cli/main.ts'
import { createTerminal } from '../../src/controlplane/cli/terminal.ts'

export interface Run {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
  /** The one object of `--json`. */
  readonly json: () => Record<string, unknown>
}

export interface RunOptions {
  readonly environment?: Readonly<Record<string, string>>
  readonly input?: string
  /** Whether both streams are terminals. */
  readonly isTTY?: boolean
  readonly startServer?: Surroundings['startServer']
}

/** Runs one command line to its end. */
export async function run(args: readonly string[], options: RunOptions = {}): Promise<Run> {
  const chunks = { stdout: '', stderr: '' }
  const stream = (name: 'stdout' | 'stderr') => ({
    write: (text: string) => (chunks[name] += text),
    isTTY: options.isTTY,
  })
  const environment = options.environment ?? {}
  const code = await runCli(args, {
    terminal: createTerminal(stream('stdout'), stream('stderr'), environment),
    environment,
    readStdin: () => options.input ?? '',
    ...(options.startServer && { startServer: options.startServer }),
  })
  return { code, ...chunks, json: () => JSON.parse(chunks.stdout) as Record<string, unknown> }
}
