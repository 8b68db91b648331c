/** What the commands on subscribed lists share: the state directory, its lock, who changes it. */

import { join } from 'node:path'
import type { Command } from 'commander'
import { OperationalError } from '../../base/errors.ts'
import { loadConfig, type LoadedConfig } from '../config/load.ts'
import { audit, currentActor } from '../generations/audit.ts'
import { whileLocked } from '../generations/version-journal.ts'
import { StateLock } from '../state-lock.ts'
import type { Cli } from './cli.ts'
import { printable } from './terminal.ts'

export interface StateOptions {
  readonly config?: string
  readonly stateDir?: string
  readonly json?: boolean
}

/** A configuration with a state directory. */
export interface StateConfig extends LoadedConfig {
  readonly stateDirectory: string
}

/** Adds the options by which a command finds the state directory. */
export function addStateOptions(command: Command): Command {
  return command
    .option('-c, --config <file>', 'configuration file')
    .option('--state-dir <dir>', 'the state directory, instead of the configured one')
}

/**
 * Loads the configuration and its state directory.
 *
 * @throws OperationalError ERR_NO_STATE when none is named.
 */
export function loadState(options: StateOptions, { environment }: Cli): StateConfig {
  const flags = { stateDir: options.stateDir }
  const config = loadConfig({ configFile: options.config, flags, environment })
  const { stateDirectory } = config.control
  if (stateDirectory !== undefined) return { ...config, stateDirectory }
  throw new OperationalError(
    'ERR_NO_STATE',
    'subscribed lists are kept in the state directory, and none is named: give --state-dir DIR, or ' +
      'the key stateDirectory in niveau3.yaml',
  )
}

/**
 * Changes the state under its lock, and writes the audit line of what was done.
 *
 * @throws OperationalError ERR_STATE_LOCKED while an update runs.
 */
export async function changeState<Result>(
  { stateDirectory }: StateConfig,
  what: string,
  facts: object,
  change: () => Promise<Result>,
): Promise<Result> {
  return whileLocked(stateDirectory, async () => {
    const result = await change()
    await audit(stateDirectory, currentActor('command'), what, facts)
    return result
  })
}

/** One sentence about who will see a change: a running server, or the next one. */
export function whoTakesIt({ stateDirectory, control }: StateConfig): string {
  if (!control.usesGenerations) {
    return 'the configuration names lists or an image of its own: no server uses it before it does not'
  }
  const owner = StateLock.ownerOf(join(stateDirectory, 'lock'))
  return owner === undefined
    ? 'no server runs on this state directory: the next one starts with it'
    : `the server (process ${owner}) takes it within a second`
}

const NUMBER_MAX = 10_000_000

/** Parses a count or the number of a generation, or throws ERR_USAGE. */
export function wholeNumber(text: string, what: string): number {
  const number = /^\d{1,8}$/.test(text) ? Number(text) : Number.NaN
  if (number <= NUMBER_MAX) return number
  throw new OperationalError('ERR_USAGE', `${what}: "${printable(text)}" is not a whole number`)
}
