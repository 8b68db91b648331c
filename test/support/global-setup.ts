/**
 * Fetches the real programs before the first test, so that no test's time limit pays for a
 * download. What cannot be had is said here once; the tests that need it fail with the reason.
 */
import { type ProgramName, program } from './programs.ts'

const NEEDED: readonly ProgramName[] = ['unbound', 'dig', 'redis-server', 'promtool']

/** Called by vitest once per run. */
export async function setup(): Promise<void> {
  const outcomes = await Promise.allSettled(NEEDED.map((name) => program(name)))
  for (const outcome of outcomes) {
    if (outcome.status === 'rejected') process.emitWarning(String(outcome.reason))
  }
}
