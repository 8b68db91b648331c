/** What is wrong with a configuration: every problem with its place, all of them at once. */

import { OperationalError, type ErrorCode } from '../../base/errors.ts'

/** Where a value came from. */
export type Origin =
  | { readonly kind: 'default' }
  | { readonly kind: 'system'; readonly file: string }
  | {
      readonly kind: 'file'
      readonly file: string
      /** 1-based, as is `column`. */
      readonly line: number
      readonly column: number
    }
  | { readonly kind: 'environment'; readonly name: string }
  | { readonly kind: 'flag'; readonly flag: string }

/** `niveau3.yaml:14:3`, `NIVEAU3_WORKERS`, `--listen`, or `default`. */
export function formatOrigin(origin: Origin): string {
  switch (origin.kind) {
    case 'file':
      return `${origin.file}:${origin.line}:${origin.column}`
    case 'system':
      return origin.file
    case 'environment':
      return origin.name
    case 'flag':
      return origin.flag
    default:
      return 'default'
  }
}

export interface Problem {
  readonly code: 'ERR_CONFIG' | 'ERR_OPEN_RESOLVER'
  /** One sentence: what is wrong. */
  readonly message: string
  readonly origin: Origin
  /** The remedy, or what was probably meant. */
  readonly suggestion?: string
}

/** One line for people: place, sentence, remedy in brackets. */
export function formatProblem(problem: Problem): string {
  const place = problem.origin.kind === 'default' ? '' : `${formatOrigin(problem.origin)}: `
  const remedy = problem.suggestion === undefined ? '' : ` (${problem.suggestion})`
  return `${place}${problem.message}${remedy}`
}

/**
 * A configuration that cannot be used. The message holds one line per problem; the code is
 * ERR_OPEN_RESOLVER when nothing else is wrong, else ERR_CONFIG; both end with exit code 4.
 */
export class ConfigError extends OperationalError {
  readonly problems: readonly Problem[]

  constructor(problems: readonly Problem[], cause?: unknown) {
    const ordered = problems.toSorted(inReadingOrder)
    const place = ordered.find((problem) => problem.origin.kind === 'file')?.origin
    const facts = place?.kind === 'file' ? place : {}
    super(codeOf(ordered), ordered.map(formatProblem).join('\n'), { ...facts, cause })
    this.name = 'ConfigError'
    this.problems = ordered
  }
}

function codeOf(problems: readonly Problem[]): ErrorCode {
  const open = problems.every((problem) => problem.code === 'ERR_OPEN_RESOLVER')
  return open ? 'ERR_OPEN_RESOLVER' : 'ERR_CONFIG'
}

const KIND_ORDER = ['file', 'environment', 'flag', 'system', 'default']

/** The file from top to bottom, then the environment, then flags. */
function inReadingOrder(a: Problem, b: Problem): number {
  if (a.origin.kind === 'file' && b.origin.kind === 'file') {
    return a.origin.line - b.origin.line || a.origin.column - b.origin.column
  }
  return KIND_ORDER.indexOf(a.origin.kind) - KIND_ORDER.indexOf(b.origin.kind)
}
