/** Counts and numbers of generations on a command line. */

import { OperationalError } from '../../base/errors.ts'
import { printable } from './terminal.ts'

const NUMBER_MAX = 10_000_000

/** Parses a count or the number of a generation, or throws ERR_USAGE. */
export function wholeNumber(text: string, what: string): number {
  const number = /^\d{1,8}$/.test(text) ? Number(text) : Number.NaN
  if (number <= NUMBER_MAX) return number
  throw new OperationalError('ERR_USAGE', `${what}: "${printable(text)}" is not a whole number`)
}
