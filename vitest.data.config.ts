import { availableParallelism } from 'node:os'
import { defineConfig } from 'vitest/config'
import { reporters } from './test/support/reporters.ts'

const common = {
  globalSetup: ['test/support/global-setup.ts'],
  testTimeout: 300_000,
  hookTimeout: 300_000,
}

/** Holds latencies against limits: alone, when all others are done. */
const TIMED = ['test/data/cycle.test.ts', 'test/data/hostile.test.ts']

/** The second suite: real lists and packets from `NIVEAU3_DATA` (default `../shared/data`). */
export default defineConfig({
  test: {
    reporters: reporters(),
    maxWorkers: Math.max(2, availableParallelism()),
    projects: [
      {
        test: {
          ...common,
          name: 'data',
          include: ['test/data/**/*.test.ts'],
          exclude: TIMED,
        },
      },
      {
        test: {
          ...common,
          name: 'timed',
          include: TIMED,
          fileParallelism: false,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
})
