import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/data/**'],
    testTimeout: 20_000,
    hookTimeout: 120_000,
  },
})
