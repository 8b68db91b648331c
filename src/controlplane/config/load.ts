/** Reads a configuration from its layers, or tells everything that is wrong with it at once. */

import { existsSync, readFileSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import { resolve } from 'node:path'
import type { DataplaneSettings } from '../../dataplane/settings.ts'
import { ownAddresses } from './addresses.ts'
import { readEnvironment } from './environment.ts'
import { readFlags, type ConfigFlags } from './flags.ts'
import { explainIssue, type KeyProblem } from './issues.ts'
import type { KeyPath } from './keys.ts'
import { layer, type Layered } from './layers.ts'
import { systemCode } from './plain.ts'
import { ConfigError, type Origin, type Problem } from './problems.ts'
import { checkRelations } from './relations.ts'
import { readNameservers, RESOLV_CONF_FILE } from './resolv-conf.ts'
import { ConfigSchema, type ConfigValues } from './schema.ts'
import { authoritiesOf, controlSettings, dataplaneSettings, listenOf } from './settings.ts'
import type { ControlSettings } from './settings.ts'
import { parseYaml } from './yaml-source.ts'

/** Where the file is looked for when neither `--config` nor NIVEAU3_CONFIG names it. */
const DEFAULT_FILES = ['niveau3.yaml', '/etc/niveau3/niveau3.yaml'] as const

export interface LoadOptions {
  /** The file of `--config`; it must exist. */
  readonly configFile?: string | undefined
  /** Text to read instead of a file, with the name that problems shall carry. */
  readonly source?: { readonly name: string; readonly text: string } | undefined
  readonly flags?: ConfigFlags | undefined
  /** Default: the environment of this process. */
  readonly environment?: Readonly<Record<string, string | undefined>> | undefined
  /** Default: the working directory of this process. */
  readonly workingDirectory?: string | undefined
  /** Default: /etc/resolv.conf. */
  readonly resolvConfFile?: string | undefined
  /** Default: the addresses of this machine's interfaces. */
  readonly interfaceAddresses?: readonly string[] | undefined
}

/** A configuration that can be used. */
export interface LoadedConfig {
  /** The file that was read; undefined when there is none. */
  readonly file: string | undefined
  readonly dataplane: DataplaneSettings
  readonly control: ControlSettings
  /** Every value as the operator would write it, defaults filled in. */
  readonly values: ConfigValues
  /** Where a value came from, by its path, such as `['cache', 'octetsMax']`. */
  readonly originOf: (path: KeyPath) => Origin
}

/**
 * Returns the configuration: flags over environment over file over defaults.
 *
 * @throws ConfigError with every problem found (ERR_CONFIG or ERR_OPEN_RESOLVER, exit code 4)
 */
export function loadConfig(options: LoadOptions = {}): LoadedConfig {
  const environment = options.environment ?? process.env
  const workingDirectory = options.workingDirectory ?? process.cwd()
  const source = options.source ?? readSource(options.configFile, environment, workingDirectory)
  const file = source && parseYaml(source.text, source.name)
  const variables = readEnvironment(environment)
  const overrides = [...variables.overrides, ...readFlags(options.flags ?? {})]
  const layered = oneSource(layer(file, overrides))
  const problems: Problem[] = [...(file?.problems ?? []), ...variables.problems]
  const { values, keyProblems } = parseValues(layered)
  problems.push(...keyProblems)
  const broken = new Set(keyProblems.map((problem) => String(problem.path[0])))
  const interfaceAddresses = options.interfaceAddresses ?? localAddresses()
  // Without the file the relations of what remains would tell nothing true about it.
  if (file?.isWhole !== false) {
    const surroundings = { workingDirectory, interfaceAddresses }
    problems.push(...checkRelations(values, layered, broken, surroundings))
  }
  if (problems.length > 0) throw new ConfigError(problems)
  const resolvConfFile = options.resolvConfFile ?? RESOLV_CONF_FILE
  const isOurs = ownAddresses(listenOf(values), interfaceAddresses)
  const nameservers = values.upstreams === undefined ? readNameservers(resolvConfFile, isOurs) : []
  const authorities = authoritiesOf(values, layered, workingDirectory)
  return Object.freeze({
    file: source?.name,
    dataplane: dataplaneSettings(values, nameservers, authorities),
    control: controlSettings(values, layered, workingDirectory),
    values,
    originOf: (path: KeyPath): Origin => {
      const isSystem = path[0] === 'upstreams' && values.upstreams === undefined
      return isSystem ? { kind: 'system', file: resolvConfFile } : layered.originOf(path)
    },
  })
}

function readSource(
  configFile: string | undefined,
  environment: Readonly<Record<string, string | undefined>>,
  workingDirectory: string,
): { name: string; text: string } | undefined {
  const asked = configFile ?? (environment['NIVEAU3_CONFIG'] || undefined)
  const found = DEFAULT_FILES.find((file) => existsSync(resolve(workingDirectory, file)))
  const name = asked ?? found
  if (name === undefined) return undefined
  try {
    return { name, text: readFileSync(resolve(workingDirectory, name), 'utf8') }
  } catch (cause) {
    const code = systemCode(cause)
    const why = code === 'ENOENT' ? 'does not exist' : `cannot be read (${code})`
    const message = `the configuration file ${name} ${why}`
    throw new ConfigError([{ code: 'ERR_CONFIG', message, origin: namedBy(configFile) }], cause)
  }
}

function namedBy(configFile: string | undefined): Origin {
  if (configFile !== undefined) return { kind: 'default' }
  return { kind: 'environment', name: 'NIVEAU3_CONFIG' }
}

/** Lists and image exclude each other: the one of the higher layer stays. */
function oneSource(layered: Layered): Layered {
  const { tree, originOf } = layered
  if (tree['lists'] === undefined || tree['image'] === undefined) return layered
  const listsRank = RANKS.indexOf(originOf(['lists']).kind)
  const imageRank = RANKS.indexOf(originOf(['image']).kind)
  if (listsRank > imageRank) delete tree['image']
  if (imageRank > listsRank) delete tree['lists']
  return layered
}

const RANKS = ['file', 'environment', 'flag']

/** zod writes and compiles code for its fast path, which takes longer than to read once without. */
const READ_ONCE = { jitless: true } as const

interface ParsedValues {
  /** Top-level keys with problems hold their defaults. */
  readonly values: ConfigValues
  readonly keyProblems: readonly KeyProblem[]
}

function parseValues(layered: Layered): ParsedValues {
  const result = ConfigSchema.safeParse(layered.tree, READ_ONCE)
  if (result.success) return { values: result.data, keyProblems: [] }
  const keyProblems = result.error.issues.flatMap((issue) => explainIssue(issue, layered))
  const broken = new Set(keyProblems.map((problem) => String(problem.path[0])))
  const sound = Object.entries(layered.tree).filter(([key]) => !broken.has(key))
  return { values: ConfigSchema.parse(Object.fromEntries(sound), READ_ONCE), keyProblems }
}

function localAddresses(): readonly string[] {
  return Object.values(networkInterfaces()).flatMap((addresses) =>
    (addresses ?? []).map(({ address }) => address),
  )
}
