/**
 * Failures of the world, with stable codes. Our own mistakes are assertions; bad octets from
 * clients are rcodes and counters, never exceptions.
 */

/** Exit codes of the command line (documented in README, kept equal by a test). */
export const EXIT = {
  ok: 0,
  error: 1,
  usage: 2,
  unreachable: 3,
  invalid: 4,
  partial: 5,
  refused: 6,
  wouldBlock: 10,
  interrupted: 130,
} as const

export type ExitCode = (typeof EXIT)[keyof typeof EXIT]

/** Every stable error code with the exit code that it ends a command with. */
export const ERROR_CODES = {
  ERR_ADDRESS_IN_USE: EXIT.error,
  ERR_ADDRESS_UNAVAILABLE: EXIT.error,
  ERR_PERMISSION: EXIT.error,
  ERR_STATE_LOCKED: EXIT.error,
  ERR_WRITE: EXIT.error,
  ERR_WORKER: EXIT.error,
  ERR_USAGE: EXIT.usage,
  ERR_NO_STATE: EXIT.usage,
  ERR_SERVER_UNREACHABLE: EXIT.unreachable,
  ERR_CONFIG: EXIT.invalid,
  ERR_OPEN_RESOLVER: EXIT.invalid,
  ERR_CERTIFICATE: EXIT.invalid,
  ERR_SECRET: EXIT.invalid,
  ERR_LIST: EXIT.invalid,
  ERR_LIST_EMPTY: EXIT.invalid,
  ERR_LIST_TOO_LARGE: EXIT.invalid,
  ERR_IMAGE: EXIT.invalid,
  ERR_IMAGE_VERSION: EXIT.invalid,
  ERR_NO_LIST: EXIT.invalid,
  ERR_STATE: EXIT.invalid,
  ERR_DOWNLOAD: EXIT.partial,
  ERR_UNEXPECTED: EXIT.partial,
  ERR_HELD: EXIT.refused,
  ERR_OBSERVE: EXIT.refused,
  ERR_RULE_REFUSED: EXIT.refused,
  ERR_SIGNATURE: EXIT.refused,
  ERR_LIST_REFUSED: EXIT.refused,
  ERR_IMAGE_REFUSED: EXIT.refused,
  ERR_FLEET_IMAGE: EXIT.refused,
} as const satisfies Record<string, ExitCode>

export type ErrorCode = keyof typeof ERROR_CODES

/** Extra facts of an error: the file and line that it speaks of, and what the operator can do. */
export interface ErrorFacts {
  readonly file?: string
  /** 1-based. */
  readonly line?: number
  readonly column?: number
  readonly cause?: unknown
}

/** A failure that an operator can act on: a stable code, facts as fields, advice in the message. */
export class OperationalError extends Error {
  readonly code: ErrorCode
  readonly file: string | undefined
  readonly line: number | undefined
  readonly column: number | undefined

  constructor(code: ErrorCode, message: string, facts: ErrorFacts = {}) {
    super(message, facts.cause === undefined ? undefined : { cause: facts.cause })
    this.name = 'OperationalError'
    this.code = code
    this.file = facts.file
    this.line = facts.line
    this.column = facts.column
  }

  get exitCode(): ExitCode {
    return ERROR_CODES[this.code]
  }
}
