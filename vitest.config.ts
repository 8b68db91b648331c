import { defineConfig } from 'vitest/config'
import { reporters } from './test/support/reporters.ts'

const common = {
  globalSetup: ['test/support/global-setup.ts'],
  testTimeout: 20_000,
  hookTimeout: 120_000,
}

/** All tests, and the scenarios once more over `dgram`: both transports pass one contract. */
export default defineConfig({
  test: {
    reporters: reporters(),
    projects: [
      {
        test: { ...common, name: 'all', include: ['test/**/*.test.ts'], exclude: ['test/data/**'] },
      },
      {
        test: {
          ...common,
          name: 'plain',
          include: ['test/scenario/**/*.test.ts'],
          env: { TEST_TRANSPORT: 'plain' },
        },
      },
    ],
  },
})
