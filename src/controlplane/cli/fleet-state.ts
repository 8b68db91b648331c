/** What the commands of a fleet share: they work on the state directory, server or not. */

import type { Command } from 'commander'
import { OperationalError } from '../../base/errors.ts'
import { loadConfig, type LoadedConfig } from '../config/load.ts'
import type { Cli } from './cli.ts'

/** Options of a command that works on the state directory. */
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
  const why =
    'images are kept in the state directory, and none is named: give --state-dir DIR, or the key ' +
    'stateDirectory in niveau3.yaml'
  throw new OperationalError('ERR_NO_STATE', why)
}
