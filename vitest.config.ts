import { availableParallelism } from 'node:os'
import { defineConfig } from 'vitest/config'
import { reporters } from './test/support/reporters.ts'

const common = {
  globalSetup: ['test/support/global-setup.ts'],
  testTimeout: 60_000,
  hookTimeout: 120_000,
}

/** Tests that hold latencies against limits: alone, one after another, when all others are done. */
const TIMED = [
  'test/admin/page-cost.test.ts',
  'test/redis/faults.test.ts',
  'test/server/under-load.test.ts',
  'test/hostile/**/*.test.ts',
]

/**
 * Packages, networks, dashboards: with a Node.js of their own or none. A further run on another
 * Node.js leaves them out.
 */
const DEPLOY = process.env['TEST_RUNTIME_ONLY'] === '1' ? ['test/deploy/**'] : []

/** All tests, and the scenarios once more over `dgram`: both transports pass one contract. */
export default defineConfig({
  test: {
    reporters: reporters(),
    // Most tests wait for programs more than they compute: on two cores one worker would idle.
    maxWorkers: Math.max(2, availableParallelism()),
    projects: [
      {
        test: {
          ...common,
          name: 'all',
          include: ['test/**/*.test.ts'],
          exclude: ['test/data/**', ...TIMED, ...DEPLOY],
        },
      },
      {
        test: {
          ...common,
          name: 'plain',
          include: ['test/scenario/**/*.test.ts'],
          env: { TEST_TRANSPORT: 'plain' },
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
