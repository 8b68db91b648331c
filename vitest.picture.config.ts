import { defineConfig } from 'vitest/config'

/** `npm run picture:dashboard`: no test, but it needs the servers of the tests. */
export default defineConfig({
  test: { include: ['bench/dashboard/main.ts'], testTimeout: 600_000, hookTimeout: 300_000 },
})
