/** `niveau3 fleet pull`: looks for a newer image of the fleet and takes it, if it is a good one. */

import { join } from 'node:path'
import type { Command } from 'commander'
import { OperationalError } from '../../base/errors.ts'
import { SOURCE_REDIS } from '../config/fleet-schema.ts'
import type { FleetSource } from '../config/settings.ts'
import type { ImageSource } from '../fleet/image-place.ts'
import { pullImage, type PullResult } from '../fleet/pull-image.ts'
import { currentActor } from '../generations/audit.ts'
import { loadRedis } from '../redis/load-redis.ts'
import { StateLock } from '../state-lock.ts'
import { asOwnerOf } from '../state-owner.ts'
import { collect, finish, printJson, type Cli } from './cli.ts'
import { groupDigits } from './filter-image.ts'
import { addStateOptions, loadState, type StateConfig, type StateOptions } from './fleet-state.ts'
import { takers } from './perform.ts'

interface Options extends StateOptions {
  readonly force?: readonly string[]
  readonly allowOlder?: boolean
  readonly reason?: string
  readonly due?: boolean
}

/** Adds the command. */
export function addFleetPull(fleet: Command, cli: Cli): void {
  const command = fleet
    .command('pull')
    .description('look for a newer image (fleet.source) and put it in force, if it is a good one')
    .option('--force <gate>', 'overrule all:GATE; repeatable, needs --reason', collect)
    .option('--allow-older', 'take an image that was published before the last; needs --reason')
    .option('--reason <text>', 'why, for the audit log')
    .option('--due', 'as the server does: nothing while a rollback holds updates')
    .action((options: Options) => pull(options, cli))
  addStateOptions(command)
  finish(command, [
    'niveau3 fleet pull',
    'niveau3 fleet pull --force all:removed-share --reason "two lists were given up"',
  ])
}

function pull(options: Options, cli: Cli): Promise<void> {
  const config = loadState(options, cli)
  return asOwnerOf(config.stateDirectory, () => pullInto(config, options, cli))
}

async function pullInto(config: StateConfig, options: Options, cli: Cli): Promise<void> {
  const { fleet } = config.control
  if (fleet === undefined) {
    const why = 'this box takes no image of a fleet: give fleet.source and fleet.publicKey'
    throw new OperationalError('ERR_USAGE', why)
  }
  const source = await sourceOf(fleet, config, cli)
  try {
    const result = await pullImage({
      stateDirectory: config.stateDirectory,
      control: config.control,
      settings: config.dataplane,
      source,
      publicKey: fleet.publicKey,
      octetsMax: fleet.octetsMax,
      actor: currentActor(options.due ? 'schedule' : 'command'),
      force: options.force ?? [],
      allowOlder: options.allowOlder === true,
      due: options.due === true,
      reason: options.reason,
    })
    if (options.json) printJson(cli.terminal, 'fleet-pull', resultJson(result))
    else cli.terminal.out(resultText(result, config))
  } finally {
    source.close()
  }
}

async function sourceOf(
  { octetsMax, source }: FleetSource,
  { control, stateDirectory }: StateConfig,
  { environment }: Cli,
): Promise<ImageSource> {
  if (source === SOURCE_REDIS && control.redis !== undefined) {
    const { RedisPlace } = await import('../fleet/redis-place.ts')
    return new RedisPlace(await loadRedis(control.redis, stateDirectory))
  }
  const { createWebSource } = await import('../fleet/https-source.ts')
  const { downloadSecondsMax, redirectsMax } = control.updates
  return createWebSource({
    url: source,
    octetsMax,
    secondsMax: downloadSecondsMax,
    redirectsMax,
    environment,
    scratchFile: join(stateDirectory, 'fleet-manifest.download'),
  })
}

function resultText(
  { comparison, generation, kind, manifest, probes }: PullResult,
  config: StateConfig,
): string {
  if (kind === 'held') return 'updates are held: nothing was looked at\n'
  const number = generation?.number ?? 0
  if (kind === 'unchanged') return `generation ${number} stays: the fleet has no newer image\n`
  const change =
    comparison === undefined
      ? ''
      : `, +${groupDigits(comparison.added.names)} -${groupDigits(comparison.removed.names)}`
  return (
    `generation ${number}: ${groupDigits(generation?.report.names ?? 0)} names${change}, built as ` +
    `generation ${manifest?.report.generation} at ${manifest?.createdAt}, self-test ` +
    `${groupDigits(probes)} questions\n${whoTakesIt(config)}\n`
  )
}

function resultJson({ comparison, generation, kind, manifest, probes }: PullResult): object {
  return {
    result: kind,
    generation: generation?.number ?? null,
    digest: generation?.report.digest ?? null,
    sequence: manifest?.sequence ?? null,
    builtAt: manifest?.createdAt ?? null,
    comparison: comparison ?? null,
    selfTestQuestions: probes,
    lists: [],
  }
}

function whoTakesIt({ control, stateDirectory }: StateConfig): string {
  return takers(control.usesGenerations, StateLock.ownerOf(join(stateDirectory, 'lock')))
}
