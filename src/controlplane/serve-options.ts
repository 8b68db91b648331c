/** What a server is started with beside its configuration. */
import type { Logger } from 'pino'
import type { OperationalError } from '../base/errors.ts'
import type { RedisSettings } from '../dataplane/settings.ts'
import type { LoadedConfig } from './config/load.ts'
import type { OverruleKeeper } from './overrule/overrule-keeper.ts'

export interface ServeOptions {
  /** Reads the configuration anew for a reload. */
  readonly reloadConfig: () => LoadedConfig
  readonly log: Logger
  /** Called before the first answer: from now on it has to be stopped, not just ended. */
  readonly onAnswering?: (() => void) | undefined
  /** Called when the server cannot go on by itself. */
  readonly onFatal: (error: OperationalError) => void
  /** Variables for the commands that the server runs. */
  readonly childEnvironment?: Readonly<Record<string, string>> | undefined
  /** The shared cache with its secrets; undefined: none. */
  readonly redis?: RedisSettings | undefined
  /** Rules and pauses of the state directory; undefined without one. */
  readonly overrule?: OverruleKeeper | undefined
}
