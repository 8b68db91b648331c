/** Look-ups that travel together, and the rows of keys that they are written in. */
import { KeyRow } from './redis-rows.ts'
import type { SharedKeys } from './shared-keys.ts'

/** Rows that are kept for the next batches. */
const SPARE_ROWS_MAX = 8

/** One batch, from its first question until Redis has answered or failed. */
export class ReadBatch<Question> {
  readonly row: KeyRow
  readonly questions: Question[] = []
  /** The look-up's number for each: the question may be about something else by now. */
  readonly numbers: number[] = []
  sentMs = 0
  hedged = false
  timedOut = false
  /** Answered, or failed: what comes later is nobody's. */
  done = false

  constructor(row: KeyRow) {
    this.row = row
  }
}

/** Makes the batches of one worker. */
export class ReadBatches<Question> {
  readonly #keys: SharedKeys
  readonly #spareRows: KeyRow[] = []

  constructor(keys: SharedKeys) {
    this.#keys = keys
  }

  /** Returns an empty batch. */
  next(): ReadBatch<Question> {
    return createBatch<Question>(this.#spareRows.pop() ?? createRow(this.#keys))
  }

  /** Redis has answered: it has read the batch's row, which may be written over. */
  keep({ row }: ReadBatch<Question>): void {
    row.clear()
    if (this.#spareRows.length < SPARE_ROWS_MAX) this.#spareRows.push(row)
  }
}

function createBatch<Question>(row: KeyRow): ReadBatch<Question> {
  return new ReadBatch<Question>(row)
}

function createRow(keys: SharedKeys): KeyRow {
  return new KeyRow(keys)
}
