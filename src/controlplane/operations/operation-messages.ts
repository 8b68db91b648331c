/** What a server and the process that performs an operation for it say to each other. */

import type { ErrorCode } from '../../base/errors.ts'
import type { UpdateProgress } from '../generations/update.ts'
import type { OperationPlace } from './operation.ts'

export type ToOperation =
  | {
      readonly kind: 'run'
      readonly name: string
      readonly wanted: unknown
      readonly place: OperationPlace
    }
  | { readonly kind: 'abort' }

export type FromOperation =
  | { readonly kind: 'progress'; readonly progress: UpdateProgress }
  | { readonly kind: 'result'; readonly result: object }
  | {
      readonly kind: 'failed'
      readonly code: ErrorCode
      readonly message: string
      readonly file: string | undefined
      readonly line: number | undefined
      readonly column: number | undefined
    }
  /** A defect, or the abort that was asked for. */
  | { readonly kind: 'defect'; readonly message: string }
