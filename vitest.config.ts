import { defineConfig } from 'vitest/config'

export default defineConfig({
  resolve: { conditions: ['lambus-source'] },
  ssr: { resolve: { conditions: ['lambus-source'] } },
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 20_000,
    hookTimeout: 60_000,
    // Tests start real servers and real processes: on a small machine two files at a time are enough.
    maxWorkers: 2,
    globalSetup: ['test/nats-server.setup.ts'],
  },
})
