/** `niveau3 fleet publish`: signs a generation and puts it where the other boxes fetch it. */

import { resolve } from 'node:path'
import type { Command } from 'commander'
import { OperationalError } from '../../base/errors.ts'
import { MANIFEST_NAME } from '../fleet/image-place.ts'
import { readFleetKey } from '../fleet/fleet-key.ts'
import { signGeneration, type SignedImage } from '../fleet/publish-image.ts'
import { audit, currentActor, requireAudit } from '../generations/audit.ts'
import { loadRedis } from '../redis/load-redis.ts'
import { asOwnerOf } from '../state-owner.ts'
import { finish, printJson, type Cli } from './cli.ts'
import { groupDigits } from './filter-image.ts'
import { addStateOptions, loadState, type StateConfig, type StateOptions } from './fleet-state.ts'
import { wholeNumber } from './whole-number.ts'

interface Options extends StateOptions {
  readonly key: string
  readonly directory?: string
  readonly redis?: boolean
  readonly generation?: string
  readonly reason?: string
}

/** Adds the command. */
export function addFleetPublish(fleet: Command, cli: Cli): void {
  const command = fleet
    .command('publish')
    .description('sign the generation in force and publish it for the other boxes')
    .requiredOption('--key <file>', 'the private key, from "niveau3 fleet keygen"')
    .option('--directory <dir>', 'publish there, for any web server')
    .option('--redis', 'publish in the shared cache (redis.url), and tell the boxes')
    .option('--generation <n>', 'publish this generation instead')
    .option('--reason <text>', 'why, for the audit log')
    .action((options: Options) => publish(options, cli))
  addStateOptions(command)
  finish(command, [
    'niveau3 fleet publish --key /etc/niveau3/fleet.key --redis',
    'niveau3 fleet publish --key /etc/niveau3/fleet.key --directory /srv/www/niveau3',
  ])
}

function publish(options: Options, cli: Cli): Promise<void> {
  const config = loadState(options, cli)
  return asOwnerOf(config.stateDirectory, () => publishFrom(config, options, cli))
}

async function publishFrom(config: StateConfig, options: Options, cli: Cli): Promise<void> {
  if (options.directory === undefined && options.redis !== true) {
    throw new OperationalError('ERR_USAGE', 'where to? give --directory DIR, --redis or both')
  }
  const key = await readFleetKey(resolve(options.key))
  const number =
    options.generation === undefined ? undefined : wholeNumber(options.generation, 'the generation')
  await requireAudit(config.stateDirectory)
  const signed = await signGeneration(config.stateDirectory, number, key)
  const places: string[] = []
  if (options.directory !== undefined) {
    const directory = resolve(options.directory)
    const { publishToDirectory } = await import('../fleet/directory-place.ts')
    const { generation, manifest, signed: octets } = signed
    await publishToDirectory(directory, manifest, octets, generation.imageFile)
    places.push(`${directory}/${MANIFEST_NAME}`)
  }
  if (options.redis === true) places.push(await publishToRedis(config, signed))
  const { digest, octets, sequence, report } = signed.manifest
  const facts = { generation: report.generation, digest, sequence, places }
  const reason = options.reason === undefined ? {} : { reason: options.reason }
  const actor = currentActor('command')
  await audit(config.stateDirectory, actor, 'fleet-publish', { ...facts, ...reason })
  if (options.json) {
    printJson(cli.terminal, 'fleet-publish', { ...facts, octets, names: report.names })
    return
  }
  cli.terminal.out(
    `generation ${report.generation}: ${groupDigits(report.names)} names, ${groupDigits(octets)} ` +
      `octets, digest ${digest.slice(0, 12)}, signed as ${sequence}\n`,
  )
  for (const place of places) cli.terminal.out(`published ${place}\n`)
}

async function publishToRedis(config: StateConfig, signed: SignedImage): Promise<string> {
  const { redis, stateDirectory } = config.control
  if (redis === undefined) {
    throw new OperationalError('ERR_USAGE', '--redis needs redis.url in the configuration')
  }
  const settings = await loadRedis(redis, stateDirectory)
  const { RedisPlace } = await import('../fleet/redis-place.ts')
  const place = new RedisPlace(settings)
  try {
    await place.publish(signed.manifest, signed.signed, new Uint8Array(signed.image))
  } finally {
    place.close()
  }
  const { announceImage } = await import('../fleet/announce-image.ts')
  const isTold = await announceImage(settings, signed.manifest)
  return isTold ? 'redis, and told the boxes' : 'redis; the boxes find it at their next look'
}
