import { defineConfig } from 'vitest/config'
import { reporters } from './test/support/reporters.ts'

/** The second suite: real lists and packets from `NIVEAU3_DATA` (default `../shared/data`). */
export default defineConfig({
  test: {
    include: ['test/data/**/*.test.ts'],
    globalSetup: ['test/support/global-setup.ts'],
    testTimeout: 300_000,
    hookTimeout: 300_000,
    reporters: reporters(),
  },
})
