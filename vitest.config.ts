import { defineConfig } from 'vitest/config'

export default defineConfig({
  resolve: { conditions: ['lambus-source'] },
  ssr: { resolve: { conditions: ['lambus-source'] } },
  test: {
    // Long enough for a machine that others use: what is promised in time is asked for in the test itself.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // Vitest's own limit is one second, and it throws away the look that is under way then: a slow machine has no other.
    expect: { poll: { timeout: 15_000 } },
    globalSetup: ['test/nats-server.setup.ts'],
    projects: [
      {
        extends: true,
        test: {
          name: 'all but faults',
          include: ['test/**/*.test.ts'],
          exclude: ['test/faults/**', '**/node_modules/**'],
          sequence: { groupOrder: 0 },
          // Tests start real servers and real processes: on a small machine two files at a time are enough.
          maxWorkers: 2,
        },
      },
      {
        extends: true,
        test: {
          name: 'faults',
          include: ['test/faults/**/*.test.ts'],
          // Each is a whole system of processes, and asks how soon it goes on: they have the machine to themselves.
          sequence: { groupOrder: 1 },
          maxWorkers: 1,
        },
      },
    ],
  },
})
